"""Reads the memory use of processes and the available memory from Linux; unknown on other systems."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_GROUP = Path("/sys/fs/cgroup")


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None when it is gone or this is not Linux."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return None


def available_bytes() -> int | None:
    """Return the memory available to the machine and to this container in bytes; None when this is not Linux."""
    available = [bytes_ for bytes_ in (_machine_available(), _container_available()) if bytes_ is not None]
    return min(available, default=None)


def _machine_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _container_available() -> int | None:
    try:
        limit = (_GROUP / "memory.max").read_text("ascii").strip()
        used = (_GROUP / "memory.current").read_text("ascii")
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))

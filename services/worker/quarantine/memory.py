"""How much memory processes take, and how much is free, read from Linux; elsewhere nothing is known."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_GROUP = Path("/sys/fs/cgroup")


def taken(pid: int) -> int | None:
    """Bytes that a process holds in memory; None: it is gone, or this is not Linux."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return None


def free() -> int | None:
    """Bytes that can be had, by the machine and by the container that this is in; None: this is not Linux."""
    found = [bytes_ for bytes_ in (_of_machine(), _of_container()) if bytes_ is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_container() -> int | None:
    try:
        most = (_GROUP / "memory.max").read_text("ascii").strip()
        now = (_GROUP / "memory.current").read_text("ascii")
    except OSError:
        return None
    return None if most == "max" else max(0, int(most) - int(now))

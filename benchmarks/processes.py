"""Reads what processes use: processor time and resident memory, by role."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from devstack import Servers
from devstack.processes import process_tree

_MB = 1024 * 1024
_PAUSE_S = 0.05
_USUAL_PORTS = {"amqp": 5672, "postgresql": 5432, "redis": 6379}

CLIENT = "client"
ALONE = frozenset({CLIENT})
"""Roles that are counted without what they have started: the benchmark has started everything."""
Roles = Mapping[str, Sequence[psutil.Process]]


def servers_of(servers: Servers) -> dict[str, list[psutil.Process]]:
    """The processes that listen at the three addresses; none for those that run elsewhere or are not ours to see."""
    urls = {"rabbitmq": servers.amqp_url, "postgres": servers.database_url, "redis": servers.redis_url}
    ports = {name: urlsplit(url).port or _USUAL_PORTS[urlsplit(url).scheme] for name, url in urls.items()}
    with contextlib.suppress(psutil.AccessDenied):
        sockets = psutil.net_connections("tcp")
        listening = {each.laddr[1]: each.pid for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr}
        pids = {name: listening.get(port) for name, port in ports.items()}
        return {name: [psutil.Process(pid)] for name, pid in pids.items() if pid is not None}
    return {}


def cpu_s(roles: Roles) -> dict[str, float]:
    """Processor seconds so far of each role's processes and of all that they started, living or ended."""
    return {
        role: sum(_cpu_s(process, alone=role in ALONE) for process in _members(role, processes))
        for role, processes in roles.items()
    }


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The use between two readings."""
    return {role: round(after[role] - before.get(role, 0.0), 3) for role in after}


class Usage:
    """Return the use since the first reading: by each role, and by programs that have no part in the measurement.

    What the benchmark has started beside the roles, such as a stand-in for a web site, is neither.
    """

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._before, self._busy_s, self._began = cpu_s(roles), _busy_s(), time.perf_counter()
        self._helpers = self._helpers_s()

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds by role."""
        return spent(self._before, cpu_s(self._roles))

    def others_share(self) -> float:
        """The share of all processors that went to others."""
        whole = (time.perf_counter() - self._began) * (psutil.cpu_count() or 1)
        helpers = sum(seconds - self._helpers.get(pid, 0.0) for pid, seconds in self._helpers_s().items())
        others = _busy_s() - self._busy_s - sum(self.cpu_s().values()) - helpers
        return round(min(1.0, max(0.0, others / whole)), 3)  # the kernel counts in ticks

    def _helpers_s(self) -> dict[int, float]:
        """Return the processor seconds of each living process that this one has started beside the roles."""
        counted = {process.pid for role, processes in self._roles.items() for process in _members(role, processes)}
        started = psutil.Process().children(recursive=True)
        return {process.pid: _cpu_s(process, alone=True) for process in started if process.pid not in counted}


def resident_mb(roles: Roles) -> dict[str, float]:
    """Memory that is resident now, by role. Pages that two processes share are counted in both."""
    return {
        role: sum(_resident(process) for process in _members(role, processes)) / _MB
        for role, processes in roles.items()
    }


def proportional_mb(roles: Roles) -> dict[str, float]:
    """Memory that is resident now, by role (Linux). A page that n processes share counts as 1/n in each of them."""
    return {
        role: sum(_proportional(process) for process in _members(role, processes)) / _MB
        for role, processes in roles.items()
    }


def forget_peaks(roles: Roles) -> None:
    """Let `peak_mb` look back to this moment, where the kernel can (Linux)."""
    for role, processes in roles.items():
        for process in _members(role, processes):
            with contextlib.suppress(OSError):  # ended, or no such file on this system
                Path(f"/proc/{process.pid}/clear_refs").write_text("5", "ascii")


def peak_mb(roles: Roles) -> dict[str, float]:
    """The highest resident memory of each process since `forget_peaks`, added up by role; costs nothing meanwhile.

    Processes may peak at different moments, so this is never too little. What has ended since is not in it. Where the
    kernel keeps no peaks it is the memory of this moment.
    """
    return {
        role: sum(_peak(process) for process in _members(role, processes)) / _MB for role, processes in roles.items()
    }


class Watched:
    """The highest memory seen: by role, and of all roles at one moment."""

    def __init__(self) -> None:
        self.highest_mb: dict[str, float] = {}
        self.together_mb: list[float] = []
        self.proportional_mb: list[float] = []
        """Memory of all roles at one moment, in which a shared page counts once."""

    def look(self, roles: Roles) -> None:
        """Take one reading."""
        now = resident_mb(roles)
        self.together_mb.append(sum(now.values()))
        self.proportional_mb.append(sum(proportional_mb(roles).values()))
        self.highest_mb = {role: max(mb, self.highest_mb.get(role, 0.0)) for role, mb in now.items()}


@asynccontextmanager
async def watching_memory(roles: Roles) -> AsyncIterator[Watched]:
    """Look at the memory of these processes several times a second while the block runs."""
    watched = Watched()
    watched.look(roles)

    async def look_on() -> None:
        while True:
            await asyncio.sleep(_PAUSE_S)
            watched.look(roles)

    looking = asyncio.create_task(look_on())
    try:
        yield watched
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        watched.look(roles)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _members(role: str, processes: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    return processes if role in ALONE else process_tree(processes)


def _cpu_s(process: psutil.Process, *, alone: bool) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    own = float(times.user + times.system)
    return own if alone else own + float(times.children_user + times.children_system)


def _peak(process: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _resident(process)


def _proportional(process: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii", "replace").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(process)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0

"""Processes that outlive their starter: found again by id and start time, and terminated reliably."""

import asyncio
import contextlib
import signal
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from devstack.errors import StackError

MARK = "BATCHYARD_STACK"
"""Environment variable that marks every process of a stack: `<component>@<home>`."""

_SAME_START = 1.0
"""Largest difference, in seconds, between two readings of one start time: the clock may be corrected in between."""
_POLL = 0.05


class ProcessIdentity(BaseModel):
    """Process id with the start time of the process, so that a reused id is not mistaken for it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def of(cls, process: psutil.Process) -> "ProcessIdentity":
        """Return the identity of a process."""
        return cls(pid=process.pid, started=process.create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs; None if its id now belongs to another process."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START
        except psutil.NoSuchProcess:
            return None
        return process if same and is_running(process) else None


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_marked(mark: str, roots: Collection[Path] = (), names: Collection[str] = ()) -> list[psutil.Process]:
    """Find the processes with a mark, or with one of the names and a working directory right below a root.

    PostgreSQL overwrites its environment in memory, so it is found by name and directory.
    """
    return [process for process in psutil.process_iter() if _belongs(process, mark, roots, names)]


def process_tree(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the processes and all their descendants, each once."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (process, *process.children(recursive=True)):
                found.setdefault(each.pid, each)
    return list(found.values())


def send_signal(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


async def wait_until_ended(processes: Iterable[psutil.Process], within: float) -> list[psutil.Process]:
    """Wait at most `within` seconds until the processes have ended; return those that still run."""
    left = [process for process in processes if is_running(process)]
    deadline = asyncio.get_running_loop().time() + within
    while left and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL)  # they are no child processes, so the process table must be polled
        left = [process for process in left if is_running(process)]
    return left


async def terminate(processes: Iterable[psutil.Process], number: signal.Signals, grace: float) -> None:
    """Send a signal to the processes, wait `grace` seconds, then send SIGKILL. Raises StackError if one survives."""
    signalled = list(processes)
    for process in signalled:
        send_signal(process, signal.SIGCONT)  # a stopped process would not handle the signal
        send_signal(process, number)
    survivors = await wait_until_ended(signalled, grace)
    for process in survivors:
        send_signal(process, signal.SIGKILL)
    if unkillable := await wait_until_ended(survivors, 10):
        numbers = ", ".join(str(process.pid) for process in unkillable)
        raise StackError(f"These processes survive a kill signal: {numbers}. Stop them by hand, then try again.")


def _belongs(process: psutil.Process, mark: str, roots: Collection[Path], names: Collection[str]) -> bool:
    try:
        if process.environ().get(MARK) == mark:
            return is_running(process)
        return process.name() in names and Path(process.cwd()).parent in roots and is_running(process)
    except (psutil.Error, OSError):  # it has ended meanwhile, or belongs to another user
        return False

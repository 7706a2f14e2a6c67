"""Processes that outlive the one that started them: recognised by id and start time, ended for certain."""

import asyncio
import contextlib
import signal
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from devstack.errors import StackError

MARK = "BATCHYARD_STACK"
"""Every process of a stack carries this variable: `<component>@<home>`."""

_SAME_START = 1.0
"""Seconds by which two readings of one start time may differ: the clock may have been corrected in between."""
_POLL = 0.05


class Identity(BaseModel):
    """A process id that is safe to act upon later: with the time at which the process started."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Identity":
        """Remember a process."""
        return cls(pid=process.pid, started=process.create_time())

    def find(self) -> psutil.Process | None:
        """Give the process if it still lives; never another one that got the same id."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START
        except psutil.NoSuchProcess:
            return None
        return process if same and living(process) else None


def living(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that ended and awaits its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(mark: str, roots: Collection[Path] = (), names: Collection[str] = ()) -> list[psutil.Process]:
    """Find the processes that carry a mark, or that have one of the names and work in a folder right below a root.

    PostgreSQL overwrites the memory that holds its environment, hence the second way to recognise it.
    """
    return [process for process in psutil.process_iter() if _belongs(process, mark, roots, names)]


def tree(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Give the processes and all that they have started, each once."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (process, *process.children(recursive=True)):
                found.setdefault(each.pid, each)
    return list(found.values())


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process, unless it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


async def gone(processes: Iterable[psutil.Process], within: float) -> list[psutil.Process]:
    """Wait until the processes have ended, at most so many seconds; give those that have not."""
    left = [process for process in processes if living(process)]
    deadline = asyncio.get_running_loop().time() + within
    while left and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL)  # they are not our children: nothing but the table of processes tells
        left = [process for process in left if living(process)]
    return left


async def end(processes: Iterable[psutil.Process], number: signal.Signals, grace: float) -> None:
    """Signal the processes, wait, and kill what is left. Raises StackError if one outlives even that."""
    asked = list(processes)
    for process in asked:
        send(process, signal.SIGCONT)  # one that is frozen would not even hear
        send(process, number)
    stubborn = await gone(asked, grace)
    for process in stubborn:
        send(process, signal.SIGKILL)
    if immortal := await gone(stubborn, 10):
        numbers = ", ".join(str(process.pid) for process in immortal)
        raise StackError(f"These processes survive a kill signal: {numbers}. Stop them by hand, then try again.")


def _belongs(process: psutil.Process, mark: str, roots: Collection[Path], names: Collection[str]) -> bool:
    try:
        if process.environ().get(MARK) == mark:
            return living(process)
        return process.name() in names and Path(process.cwd()).parent in roots and living(process)
    except (psutil.Error, OSError):  # it ended meanwhile, or belongs to somebody else
        return False

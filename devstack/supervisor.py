"""Keeps programs running: starts them, restarts the ones that crash, stops them all in good order."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from devstack.errors import AlreadyRunning, ProgramFailed
from devstack.private import mark_of
from devstack.processes import Identity, end, marked, tree
from devstack.program import Program
from devstack.state import State
from devstack.watch import Watch

GRACE = 30.0
"""Seconds that a program has to stop in good order: as long as a service takes at most until it ends itself, so that
none is killed while it still finishes what it has in hand."""


class Supervisor:
    """The programs of one home. One supervisor at a time: another live one makes `start` raise AlreadyRunning."""

    def __init__(self, home: Path, echo: Callable[[str], None], *, grace: float = GRACE) -> None:
        self._home = home.resolve()
        self._state = State(self._home)
        self._echo = echo
        self._grace = grace
        self._watches: dict[str, Watch] = {}

    async def start(self, *programs: Program) -> None:
        """Start programs at the same time and return when all are ready. Raises ProgramFailed for one that is not."""
        self._claim()
        starting = [self._start(program) for program in programs]
        for failure in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal one program, as a fault would; one that ends by it is started again after its pause."""
        self._watch(name).signal(number)

    async def restart(self, name: str) -> None:
        """Stop one program, if it runs, start it at once and wait until it is ready."""
        await self._watch(name).again(self._grace)

    async def ready(self, name: str) -> None:
        """Wait until one program is ready, be it after a crash."""
        await self._watch(name).ready()

    def pid(self, name: str) -> int | None:
        """Give the process id of one program; None while it does not run."""
        return self._watch(name).pid

    def log(self, name: str) -> Path:
        """Give the file that holds what a program prints."""
        return self._home / "log" / f"{name}.log"

    async def stop(self) -> None:
        """Stop all programs at the same time: SIGTERM, the grace, SIGKILL."""
        await asyncio.gather(*(watch.stop(self._grace) for watch in self._watches.values()))
        self._watches.clear()
        with self._state.change() as document:
            if document.supervisor == Identity.of(psutil.Process()):
                document.supervisor, document.programs = None, {}

    async def _start(self, program: Program) -> None:
        mark = mark_of(program.name, self._home)
        await end(tree(marked(mark)), signal.SIGTERM, self._grace)  # left over from a supervisor that was killed
        if program.name in self._watches:
            raise ProgramFailed(f"{program.name} is supervised already. Use restart().")
        watch = self._watches[program.name] = Watch(program, self.log(program.name), mark, self._echo, self._remember)
        await watch.start()

    def _watch(self, name: str) -> Watch:
        if name not in self._watches:
            raise ProgramFailed(f"{name} is not supervised. Start it first.")
        return self._watches[name]

    def _claim(self) -> None:
        with self._state.change() as document:
            me, holder = Identity.of(psutil.Process()), document.supervisor
            if holder is not None and holder != me and holder.find():
                raise AlreadyRunning(f"Process {holder.pid} already runs the programs of {self._home}. Stop it first.")
            document.supervisor = me

    def _remember(self) -> None:
        known = {name: watch.identity() for name, watch in self._watches.items()}
        with self._state.change() as document:
            document.programs = {name: identity for name, identity in known.items() if identity}

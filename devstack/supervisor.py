"""Keeps programs running: starts them, restarts those that crash, and shuts them down."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from devstack.errors import AlreadyRunning, ProgramFailed
from devstack.private import process_mark
from devstack.processes import ProcessIdentity, find_marked, process_tree, terminate
from devstack.program import Program
from devstack.program_watcher import ProgramWatcher
from devstack.state import StackState

GRACE = 30.0
"""Longest shutdown of a program, in seconds: the same as `GRACE_S` of services, so that none is killed while it
finishes its work."""


class Supervisor:
    """Supervisor of the programs of one home; `start` raises AlreadyRunning while another one runs."""

    def __init__(self, home: Path, echo: Callable[[str], None], *, grace: float = GRACE) -> None:
        self._home = home.resolve()
        self._state = StackState(self._home)
        self._echo = echo
        self._grace = grace
        self._watches: dict[str, ProgramWatcher] = {}

    async def start(self, *programs: Program) -> None:
        """Start programs concurrently and return when all are ready. Raises ProgramFailed as soon as one is not."""
        self._claim()
        try:
            async with asyncio.TaskGroup() as group:
                for program in programs:
                    group.create_task(self._start(program))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def stop_program(self, name: str) -> None:
        """Stop one program, as `stop` does; it stays down until `restart`, while the others run on."""
        await self._watch(name).stop(self._grace)
        self._save_record()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one program, to simulate a fault; if it ends, it is restarted after its backoff."""
        self._watch(name).signal(number)

    async def restart(self, name: str) -> None:
        """Restart one program without a pause and wait until it is ready."""
        await self._watch(name).restart(self._grace)

    async def ready(self, name: str) -> None:
        """Wait until one program is ready, also after a crash."""
        await self._watch(name).ready()

    def pid(self, name: str) -> int | None:
        """Return the process id of one program; None while it does not run."""
        return self._watch(name).pid

    def log(self, name: str) -> Path:
        """Return the log file of a program's output."""
        return self._home / "log" / f"{name}.log"

    async def stop(self) -> None:
        """Stop all programs concurrently: SIGTERM, then SIGKILL after the grace period."""
        await asyncio.gather(*(watch.stop(self._grace) for watch in self._watches.values()))
        self._watches.clear()
        with self._state.change() as document:
            if document.supervisor == ProcessIdentity.of(psutil.Process()):
                document.supervisor, document.programs = None, {}

    async def _start(self, program: Program) -> None:
        mark = process_mark(program.name, self._home)
        await terminate(
            process_tree(find_marked(mark)), signal.SIGTERM, self._grace
        )  # left over from a supervisor that was killed
        if program.name in self._watches:
            raise ProgramFailed(f"{program.name} is supervised already. Use restart().")
        watch = self._watches[program.name] = ProgramWatcher(
            program, self.log(program.name), mark, self._echo, self._save_record
        )
        await watch.start()

    def _watch(self, name: str) -> ProgramWatcher:
        if name not in self._watches:
            raise ProgramFailed(f"{name} is not supervised. Start it first.")
        return self._watches[name]

    def _claim(self) -> None:
        with self._state.change() as document:
            me, holder = ProcessIdentity.of(psutil.Process()), document.supervisor
            if holder is not None and holder != me and holder.find():
                raise AlreadyRunning(f"Process {holder.pid} already runs the programs of {self._home}. Stop it first.")
            document.supervisor = me

    def _save_record(self) -> None:
        known = {name: watch.identity() for name, watch in self._watches.items()}
        with self._state.change() as document:
            document.programs = {name: identity for name, identity in known.items() if identity}

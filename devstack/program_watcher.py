"""Keeps one program running: starts it, waits for its end, restarts it."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import aiohttp
import psutil

from devstack.errors import ProgramFailed
from devstack.launch import tail
from devstack.processes import MARK, ProcessIdentity
from devstack.program import Program

Echo = Callable[[str], None]

_LOG_LIMIT = 10_000_000
_PROBE = aiohttp.ClientTimeout(total=2)


class ProgramWatcher:
    """Watcher task of one program."""

    def __init__(self, program: Program, log: Path, mark: str, echo: Echo, on_spawn: Callable[[], None]) -> None:
        self._program = program
        self._log = log
        self._mark = mark
        self._echo = echo
        self._on_spawn = on_spawn
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._spawned = asyncio.Event()
        self._skip_pause = asyncio.Event()
        self._end_expected = False
        """True: the next end is intended, so it is not reported and the restart is immediate."""
        self._ending = False
        self._was_ready = False
        self._final_code: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def identity(self) -> ProcessIdentity | None:
        """Return the identity of the process; None while it does not run."""
        try:
            return ProcessIdentity.of(psutil.Process(self.pid)) if self.pid else None
        except psutil.NoSuchProcess:
            return None

    async def start(self) -> None:
        """Start the program and wait until it is ready. Raises ProgramFailed with the end of its log."""
        self._ending = False
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.replace(self._log.with_suffix(".old.log"))
        self._task = asyncio.create_task(self._run(), name=f"watch {self._program.name}")
        await self.ready()

    async def ready(self) -> None:
        """Wait until the current process, or the next one, is ready."""
        if self._task is None:
            raise self._failed("was not started")
        answered = asyncio.create_task(self._until_ready())
        limit = self._program.ready_within
        try:
            await asyncio.wait({answered, self._task}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                await answered
                self._was_ready = True
            elif self._final_code is not None:
                raise ProgramFailed(tail(self._log, 1), final_code=self._final_code)
            elif self._task.done() and (error := self._task.exception()):
                raise ProgramFailed(f"{self._program.name} cannot be started: {error}") from error
            else:
                raise self._failed("ended" if self._task.done() else f"is not ready after {limit:.0f} s")
        finally:
            answered.cancel()
            await asyncio.wait({answered})

    async def restart(self, grace: float) -> None:
        """Stop the program if it runs, start it without a pause, and wait until it is ready."""
        if self._task is None or self._task.done():
            await self.start()
            return
        self._skip_pause.set()
        if self.pid is not None:
            self._end_expected = True
            self._spawned.clear()
            await self._end(grace)
        await self.ready()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process only, to simulate a fault. Raises ProgramFailed if it does not run."""
        if self._process is None or self.pid is None:
            raise self._failed("does not run")
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self._spawned.clear()
        self._process.send_signal(number)

    async def stop(self, grace: float) -> None:
        """Stop the program until the next `start`: SIGTERM, then SIGKILL after `grace` seconds."""
        self._ending = True
        self._skip_pause.set()
        await self._end(grace)
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        failures = 0
        clock = asyncio.get_running_loop().time
        while not self._ending:
            began = clock()
            self._skip_pause.clear()
            self._process = await self._spawn()
            if self._ending:
                await self._end(grace=1)
                return
            self._on_spawn()
            self._spawned.set()
            code = await self._process.wait()
            self._spawned.clear()
            _sweep(self._process.pid)
            if self._ending:
                return
            if self._end_expected:
                self._end_expected = False
                continue
            if code in self._program.final_codes and not self._was_ready:
                self._final_code = code
                return
            backoff = self._program.backoff
            if backoff is None:
                self._echo(f"{self._program.name} ended ({_cause(code)}); its log is {self._log}")
                return
            failures = 1 if clock() - began >= backoff.calm else failures + 1
            pause = backoff.pause(failures)
            self._echo(f"{self._program.name} ended ({_cause(code)}); starting again in {pause:g} s; log: {self._log}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._skip_pause.wait()

    async def _spawn(self) -> Process:
        program = self._program
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *program.argv,
                env=os.environ | program.env | {MARK: self._mark},
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops the programs
            )

    async def _end(self, grace: float) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            self._echo(f"{self._program.name} did not stop within {grace:g} s and is killed")
            _sweep(process.pid)
            await process.wait()

    async def _until_ready(self) -> None:
        await self._spawned.wait()
        if self._program.ready_url is None:
            return
        async with aiohttp.ClientSession(timeout=_PROBE) as session:
            while True:
                if await _is_ready(session, self._program.ready_url):
                    return
                await asyncio.sleep(0.05)  # HTTP readiness can only be polled

    def _failed(self, what: str) -> ProgramFailed:
        return ProgramFailed(f"{self._program.name} {what}. {self._log} ends with\n{tail(self._log)}")


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False


def _sweep(leader: int) -> None:
    """Kill the remaining processes of the program's session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _cause(code: int) -> str:
    return f"{signal.strsignal(-code)} by signal {-code}" if code < 0 else f"code {code}"

"""Runs CPU-bound handlers in child processes: one that dies or is killed takes only its own items along."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
import structlog
from pydantic import TypeAdapter

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Transient, Workload
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome
from shared.runtime.errors import ConfigurationError

log = structlog.get_logger()
HEADER_BYTES = 8
"""Number of bytes that hold the length of a message, big-endian."""
AT_MOST_ONCE = {False: b"0", True: b"1"}
"""First byte of a request: tells if its items must not run twice."""
_OUTCOMES = TypeAdapter(list[ItemOutcome])
_START_S = 60.0
"""Seconds that a process may take to import its workload."""
RunWithin = Callable[[Coroutine[Any, Any, bytes]], Coroutine[Any, Any, bytes]]
"""Awaits a call within its timeout; raises `TimeoutError`."""


class ProcessDied(Exception):
    """A process ended before it replied."""


class ProcessPool:
    """Processes of one workload, one for each running call. The caller limits their number."""

    def __init__(self, workload: Workload[Any, Any]) -> None:
        handling = workload.handler_definition
        self._name = workload.name
        self._load_request = {
            "path": sys.path,
            "function": f"{handling.function.__module__}:{handling.function.__qualname__}",
            "item": f"{workload.item.__module__}:{workload.item.__qualname__}",
            "result": f"{workload.result.__module__}:{workload.result.__qualname__}",
            "whole_chunk": handling.whole_chunk,
        }
        self._idle: list[_Process] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start one process; raises `ConfigurationError` when it cannot import the handler."""
        try:
            self._idle.append(await _Process.start(self._load_request))
        except ProcessDied as error:
            raise ConfigurationError(
                f"The handler of workload {self._name!r} cannot run in a process: {error}"
            ) from error

    async def run(
        self, chunk: ChunkReady, items: Sequence[ChunkItem], run_within: RunWithin, *, at_most_once: bool = False
    ) -> list[Outcome]:
        """Return one outcome for each item. Interruption and timeout kill the process.

        When the process dies, the items run again in halves until the one that kills it is alone; `at_most_once` items
        do not. The timeout starts when a process is ready, so that the start of a new one is not counted.
        """
        started = time.monotonic()
        try:
            same = [ChunkItem.model_validate(item, from_attributes=True) for item in items]
            body = AT_MOST_ONCE[at_most_once] + chunk.model_copy(update={"items": same}).encode()
            return await self._exchange(body, run_within)
        except TimeoutError as error:
            each_ms = round((time.monotonic() - started) * 1000 / len(items))
            return [domain.from_handler(item, error, each_ms, at_most_once=at_most_once) for item in items]
        except ProcessDied as error:
            log.warning("handler's process died", workload=self._name, batch_id=str(chunk.batch_id), reason=str(error))
            if at_most_once:
                return [domain.needs_review(item, str(error)) for item in items]
            if len(items) == 1:
                return [domain.from_error(items[0], Transient("process_died", str(error)), 0)]
        middle = len(items) // 2
        return [*await self.run(chunk, items[:middle], run_within), *await self.run(chunk, items[middle:], run_within)]

    def trim(self, keep: int) -> None:
        """End idle processes beyond this number."""
        while len(self._idle) > keep:
            self._end(self._idle.pop())

    async def stop(self) -> None:
        """End all idle processes; busy ones end by the interruption of their items."""
        self.trim(0)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _exchange(self, body: bytes, run_within: RunWithin) -> list[Outcome]:
        process = self._idle.pop() if self._idle else await _Process.start(self._load_request)
        try:
            answer = await run_within(process.request(body))
        except BaseException:
            self._end(process)
            raise
        self._idle.append(process)
        return list(_OUTCOMES.validate_json(answer))

    def _end(self, process: "_Process") -> None:
        task = asyncio.create_task(process.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Process:
    """One process and the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, load_request: dict[str, Any]) -> "_Process":
        """Start a process that has imported the handler; raises `ProcessDied` with its error when it could not."""
        ours, its = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "services.worker.execution.process_main", str(its.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
            )
        finally:
            its.close()
        started = cls(process, *await asyncio.open_connection(sock=ours))
        try:
            async with asyncio.timeout(_START_S):
                failure = await started.request(orjson.dumps(load_request))
        except TimeoutError:
            failure = f"No end of its imports after {_START_S:g} s.".encode()
        except BaseException:
            await started.kill()
            raise
        if failure:
            await started.kill()
            raise ProcessDied(failure.decode())
        return started

    async def request(self, body: bytes) -> bytes:
        """Send a request and return its reply."""
        try:
            self._writer.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
            await self._writer.drain()
            return await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(HEADER_BYTES), "big"))
        except (OSError, asyncio.IncompleteReadError):
            raise ProcessDied(_describe_exit(await self._process.wait())) from None

    async def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self._process.returncode is None:
            self._process.kill()
        self._writer.close()
        await self._process.wait()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"The handler's process exited with code {code}."
    name = signal.Signals(-code).name
    why = " The system does that when memory runs out." if -code == signal.SIGKILL else ""
    return f"The handler's process was ended by {name}.{why}"

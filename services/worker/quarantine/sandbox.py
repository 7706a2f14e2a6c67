"""Worker's side of the sandbox process: requests, replies, limits, and the reason of its end."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

from pydantic import TypeAdapter

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.work import ChunkReady
from services.worker.execution.source_expansion import SourceOutcome
from services.worker.quarantine import memory
from services.worker.quarantine.frames import READY, encode_frame, read_frame
from services.worker.quarantine.running_item_marker import RunningItemMarker, create_marker_memory

_MEMORY_CHECK_S = 0.02
"""Seconds between two checks of its memory: a process that takes 1 GB/s is found 20 MB late."""
_START_S = 60.0
"""Seconds that a workload may take to open its resources."""
_STOP_S = 7.0
"""Seconds that the process may take to stop after a request to."""
_MB = 2**20
_OUTCOMES = TypeAdapter(list[SourceOutcome | ItemOutcome])


class SandboxDied(Exception):
    """The sandbox process has ended."""


class Sandbox:
    """One sandbox process. Callers that wait for its reply get `SandboxDied` when it ends."""

    def __init__(self, process: asyncio.subprocess.Process, limit_mb: int | None, marker: RunningItemMarker) -> None:
        self._process, self._limit_mb, self._marker = process, limit_mb, marker
        self._pending: dict[int, asyncio.Future[list[ItemOutcome]]] = {}
        self._ready, self._ended = asyncio.Event(), asyncio.Event()
        self._reason = ""
        self._stopping = False
        self.is_hung = False
        """True when it was killed because an item took too long and could not be interrupted."""
        self.executing: int | None = None
        """Ordinal of the item whose code ran when the process ended; None when unknown."""
        self.is_used = False
        """True when anything has run in it."""

    @classmethod
    async def start(cls, workload: str, limit_mb: int | None) -> "Sandbox":
        """Start a process with a memory limit and wait until it is ready or has ended."""
        ours, theirs = socket.socketpair()
        replies, reply_writer = os.pipe()
        marker = create_marker_memory()
        handed_over = (theirs.fileno(), reply_writer, marker)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "services.worker.quarantine", workload, *map(str, handed_over), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=handed_over,
                start_new_session=True,  # so that its child processes can be ended with it
            )
            started = cls(process, limit_mb, RunningItemMarker(marker))
        except BaseException:
            ours.close()
            os.close(replies)
            raise
        finally:
            theirs.close()
            os.close(reply_writer)
            os.close(marker)
        await started._connect(ours, replies)
        return started

    async def _connect(self, requests: socket.socket, replies: int) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        pipe = os.fdopen(replies, "rb", 0)
        self._replies, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        _, self._writer = await asyncio.open_connection(sock=requests)
        self._tasks = [asyncio.create_task(self._read_replies(reader)), asyncio.create_task(self._watch_memory())]
        waits = [asyncio.create_task(event.wait()) for event in (self._ready, self._ended)]
        await asyncio.wait(waits, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not self._ready.is_set():
            self.kill(f"not ready after {_START_S:g} s")
            await self._ended.wait()

    @property
    def has_ended(self) -> bool:
        """True when the process has ended."""
        return self._ended.is_set()

    @property
    def is_usable(self) -> bool:
        """True when the process accepts chunks."""
        return not self.has_ended and not self._stopping

    @property
    def exit_reason(self) -> str:
        """Reason of its end, worded to follow a colon."""
        code = self._process.returncode
        if self._reason or code is None:
            return self._reason
        return f"exit code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"

    async def run(self, chunk: ChunkReady, within_s: float) -> list[ItemOutcome]:
        """Return the outcomes of a chunk; raises `SandboxDied`. The process is killed after `within_s` seconds."""
        if self.has_ended:
            raise SandboxDied
        self.is_used = True
        key = chunk.items[0].ordinal
        reply = self._pending[key] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(encode_frame(chunk.encode()))
            await asyncio.wait({reply}, timeout=within_s)
            if not reply.done():
                self.is_hung = True
                self.kill(f"no end after {within_s:g} s")
            outcomes: list[ItemOutcome] = await reply
            return outcomes
        finally:
            self._pending.pop(key, None)

    def kill(self, reason: str) -> None:
        """Kill the process and all that it started."""
        if self._process.returncode is None and not self._reason:
            self._reason = reason
            self.executing = self._marker.get()
            self._kill_group()

    def interrupt(self) -> None:
        """Ask the process to interrupt its items and to end; it is killed if it does not."""
        if self.is_usable:
            self._stopping = True
            self._writer.close()
            asyncio.get_running_loop().call_later(_STOP_S, self.kill, f"no end after {_STOP_S:g} s")

    async def stop(self) -> None:
        """Interrupt the process and wait for its end."""
        self.interrupt()
        await self._ended.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _read_replies(self, reader: asyncio.StreamReader) -> None:
        try:
            while (reply := await read_frame(reader)) is not None:
                if reply == READY:
                    self._ready.set()
                    continue
                outcomes = _OUTCOMES.validate_json(reply)
                pending = self._pending.get(outcomes[0].ordinal)
                if pending is not None and not pending.done():
                    pending.set_result(outcomes)
            await self._process.wait()
        finally:
            if self.executing is None:
                self.executing = self._marker.get()
            self._kill_group()
            self._replies.close()  # uvloop keeps it open after its end
            self._writer.close()
            self._ended.set()
            for pending in self._pending.values():
                if not pending.done():
                    pending.set_exception(SandboxDied())

    async def _watch_memory(self) -> None:
        """Check the memory limit until the process ends. Its children may keep the pipe open, so its own end counts."""
        ended = asyncio.create_task(self._process.wait())
        while not ended.done():
            await asyncio.wait({ended}, timeout=_MEMORY_CHECK_S)
            if self._limit_mb is not None and (memory.resident_bytes(self._process.pid) or 0) > self._limit_mb * _MB:
                self.kill(f"it took more than {self._limit_mb} MB of memory, the limit in quarantine")
        self._kill_group()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

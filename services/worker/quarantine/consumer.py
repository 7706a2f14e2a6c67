"""Takes the quarantined chunks of one workload, one at a time."""

import asyncio
import time
from typing import cast
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

from batchyard_contracts.message import Message
from batchyard_contracts.topology import quarantine_queue
from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.chunk_returner import Returns
from services.worker.consuming.delivery_tracker import Claims, key_of
from services.worker.execution.item_runner import Runner
from services.worker.quarantine.isolated_chunk import Inquest
from services.worker.quarantine.sandbox_pool import Cell
from services.worker.settings import WorkerSettings
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import dead_letter
from shared.messaging.delivery import acknowledge, decode, is_stale, received
from shared.messaging.publisher import Publisher
from shared.runtime.errors import Rejected
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

_IDLE_S = 5.0
"""After so long without a chunk the process ends."""
_CANCELLED_S = 3600.0
"""So long a cancel is remembered: what was given out before it has come by then."""
_KINDS: dict[str, type[Message]] = {ChunkReady.type: ChunkReady}
_Waiting = tuple[ChunkReady, AbstractIncomingMessage]


class Quarantine:
    """Runs quarantined chunks until stopped. A delivery is acknowledged when its report is confirmed, see `Claims`."""

    def __init__(
        self,
        runner: Runner,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        returns: Returns,
        pulse: Pulse,
        settings: WorkerSettings,
    ) -> None:
        self._runner, self._connection, self._publisher, self._pulse = runner, connection, publisher, pulse
        self._returns, self._report_every_s = returns, settings.report_interval_s
        self._queue = quarantine_queue(runner.workload.name)
        self._cell = Cell(runner.workload.name, settings.quarantine_memory_mb)
        self._claims = Claims(runner.manifest.item_timeout_s)
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._held: dict[UUID, None] = {}
        self._inquest: Inquest | None = None
        self._cancelled: dict[UUID, tuple[float, int | None]] = {}
        self._stopping = False

    @property
    def chunks(self) -> list[UUID]:
        """The chunks that run here or wait here."""
        return list(self._held)

    @property
    def unfinished(self) -> int:
        """Items in hand that have no outcome yet."""
        return self._inquest.unfinished if self._inquest else 0

    async def run(self) -> None:
        """Consume until `drain`."""
        channel = await open_channel(self._connection)
        await channel.set_qos(prefetch_count=1)
        declared = await channel.declare_queue(self._queue.name, passive=True)
        tag = await declared.consume(self._arrived)
        try:
            while not self._stopping:
                self._pulse.beat()
                await self._next()
        finally:
            self._pulse.rest()
            await self._cell.close()
            if not channel.is_closed:
                await declared.cancel(tag)
            while not self._waiting.empty():
                if (waiting := self._waiting.get_nowait()) is not None:
                    await self._returns.give_back(*waiting, "stopping")
            if not channel.is_closed:
                await channel.close()

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        """Stop what runs of a batch, and what of it arrives from now on; if a round is named, none of later ones."""
        now = time.monotonic()
        fresh = {b: c for b, c in self._cancelled.items() if c[0] > now - _CANCELLED_S}
        self._cancelled = fresh | {batch_id: (now, round_)}
        if self._inquest is not None and self._is_cancelled(self._inquest.chunk):
            self._inquest.stop(cancelled=True)

    def forget(self, batch_id: UUID | None = None) -> None:
        """Let a batch that was cancelled, or all of them, run again from now on."""
        self._cancelled = {b: c for b, c in self._cancelled.items() if batch_id not in (None, b)}

    def drain(self) -> None:
        """Take nothing more; `run` returns when what is in hand has ended."""
        self._stopping = True
        self._waiting.put_nowait(None)

    def interrupt(self) -> None:
        """Let what is in hand run elsewhere."""
        if self._inquest is not None:
            self._inquest.stop(cancelled=False)

    def _is_cancelled(self, chunk: ChunkReady) -> bool:
        _, round_ = self._cancelled.get(chunk.batch_id, (0.0, 0))
        return round_ is None or chunk.round <= round_

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
        try:
            chunk = cast("ChunkReady", decode(received(message), _KINDS))
        except Rejected as error:
            delivery, reason = received(message), str(error)
            await retry_transient(lambda: dead_letter(self._publisher, self._queue, delivery, reason), "dead letters")
            await acknowledge(message)
            return
        if self._claims.knows(key_of(chunk)):
            await self._claims.hold(key_of(chunk), message)
        elif message.redelivered and chunk.chunk_id not in self._held:
            await self._returns.give_back(chunk, message, "redelivered")
        else:
            self._held[chunk.chunk_id] = None
            self._waiting.put_nowait((chunk, message))

    async def _next(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_S):
                waiting = await self._waiting.get()
        except TimeoutError:
            await self._cell.close()
            return
        if waiting is None:
            return
        chunk, message = waiting
        try:
            if not is_stale(message) and not self._claims.knows(key_of(chunk)):
                await self._run(chunk, message)
        finally:
            self._held.pop(chunk.chunk_id, None)

    async def _run(self, chunk: ChunkReady, message: AbstractIncomingMessage) -> None:
        key, trace = key_of(chunk), received(message).envelope.traceparent
        self._claims.begin(key)
        await self._claims.hold(key, message)
        self._inquest = Inquest(self._runner, chunk, trace, self._cell, self._report_every_s)
        try:
            if self._is_cancelled(chunk):
                self._inquest.stop(cancelled=True)
            if not await self._inquest.run(self._pulse.beat):
                await self._returns.tell(chunk, "stopping")
        finally:
            self._inquest = None
        await self._claims.reported(key)

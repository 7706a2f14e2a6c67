"""Consumes the quarantined chunks of one workload, one at a time."""

import asyncio
import time
from typing import cast
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustChannel, AbstractRobustConnection

from batchyard_contracts.message import Message
from batchyard_contracts.topology import quarantine_queue
from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.cancellations import CancellationList
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.consuming.delivery_tracker import ChunkDelivery, DeliveryTracker, chunk_deliveries, chunk_key
from services.worker.execution.item_runner import ItemRunner
from services.worker.quarantine.isolated_chunk import IsolatedChunk
from services.worker.quarantine.sandbox_pool import SandboxPool
from services.worker.settings import WorkerSettings
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.delivery import decode
from shared.messaging.publisher import Publisher
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import MessageRejected
from shared.runtime.health import Pulse

_IDLE_S = 5.0
"""Seconds without a chunk after which the sandbox process is stopped."""
_MESSAGE_TYPES: dict[str, type[Message]] = {ChunkReady.type: ChunkReady}
_PendingChunk = tuple[ChunkReady, ChunkDelivery]


class QuarantineConsumer(BackgroundTask):
    """Runs quarantined chunks until stopped. A delivery is acknowledged when its report is confirmed.

    A chunk whose execution fails is returned as one whose worker was lost, and the next one runs.
    """

    def __init__(
        self,
        runner: ItemRunner,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        returner: ChunkReturner,
        pulse: Pulse,
        settings: WorkerSettings,
    ) -> None:
        super().__init__(pulse, self._run_next, interval_s=0.0, on_stop=self._finish)
        self._runner, self._connection, self._beat = runner, connection, pulse.beat
        self._dead_letters = DeadLetters(publisher)
        self._subscription: tuple[AbstractRobustChannel, AbstractQueue, str] | None = None
        """Open channel, consumed queue and consumer tag."""
        self._returner, self._report_interval_s = returner, settings.report_interval_s
        self._queue = quarantine_queue(runner.workload.name)
        self._pool = SandboxPool(runner.workload.name, settings.quarantine_memory_mb)
        self._deliveries = DeliveryTracker(runner.manifest.item_timeout_s)
        self._pending: asyncio.Queue[_PendingChunk | None] = asyncio.Queue()
        self._pending_ids: dict[UUID, None] = {}
        self._running: IsolatedChunk | None = None
        self._cancellations = CancellationList()

    @property
    def chunk_ids(self) -> list[UUID]:
        """Ids of the chunks that run or wait on this worker."""
        return list(self._pending_ids)

    @property
    def unfinished(self) -> int:
        """Number of items of the running chunk without an outcome."""
        return self._running.unfinished if self._running else 0

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        """Cancel a batch: running items are interrupted, later chunks do not start. With a round, later rounds still
        run."""
        self._cancellations.add(batch_id, round_, time.monotonic())
        if self._running is not None and self._cancellations.has_cancelled(self._running.chunk):
            self._running.stop(cancelled=True)

    def clear_cancellation(self, batch_id: UUID | None = None) -> None:
        """Let a batch that was cancelled without a round, or all of them, run again."""
        if batch_id is None:
            self._cancellations.clear()
        else:
            self._cancellations.discard(batch_id)

    def stop(self) -> None:
        """Take no more chunks; `run` returns when the running one has ended."""
        super().stop()
        self._pending.put_nowait(None)

    def interrupt(self) -> None:
        """Interrupt the running chunk; its items run on another worker."""
        if self._running is not None:
            self._running.stop(cancelled=False)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        for delivery in chunk_deliveries(message):
            await self._take(delivery)

    async def _take(self, delivery: ChunkDelivery) -> None:
        try:
            chunk = cast("ChunkReady", decode(delivery.delivery, _MESSAGE_TYPES))
        except MessageRejected as error:
            await self._dead_letters.add(self._queue, delivery.delivery, str(error))
            await delivery.acknowledge()
            return
        if self._deliveries.is_known(chunk_key(chunk)):
            await self._deliveries.add_delivery(chunk_key(chunk), delivery)
        elif delivery.is_redelivered and chunk.chunk_id not in self._pending_ids:
            await self._returner.return_chunk(chunk, delivery, "redelivered")
        else:
            self._pending_ids[chunk.chunk_id] = None
            self._pending.put_nowait((chunk, delivery))

    async def _consume(self) -> tuple[AbstractRobustChannel, AbstractQueue, str]:
        channel = await open_channel(self._connection)
        try:
            await channel.set_qos(prefetch_count=1)
            declared = await channel.declare_queue(self._queue.name, passive=True)
            return channel, declared, await declared.consume(self._on_message)
        except Exception:
            if not channel.is_closed:
                await channel.close()
            raise

    async def _finish(self) -> None:
        """Take no more chunks, and return the waiting one."""
        await self._pool.close()
        channel, declared, tag = self._subscription or (None, None, "")
        if channel is not None and declared is not None and not channel.is_closed:
            await declared.cancel(tag)
        while not self._pending.empty():
            if (pending := self._pending.get_nowait()) is not None:
                await self._returner.return_chunk(*pending, "stopping")
        if channel is not None and not channel.is_closed:
            await channel.close()

    async def _run_next(self) -> None:
        """Run the next chunk, or stop the sandbox process when none comes; the first step begins to consume."""
        if self._subscription is None:
            self._subscription = await self._consume()
        try:
            async with asyncio.timeout(_IDLE_S):
                pending = await self._pending.get()
        except TimeoutError:
            await self._pool.close()
            return
        if pending is None:
            return
        chunk, delivery = pending
        try:
            if not delivery.is_stale and not self._deliveries.is_known(chunk_key(chunk)):
                await self._run(chunk, delivery)
        finally:
            self._pending_ids.pop(chunk.chunk_id, None)

    async def _run(self, chunk: ChunkReady, delivery: ChunkDelivery) -> None:
        key, trace = chunk_key(chunk), delivery.traceparent
        self._deliveries.track(key)
        await self._deliveries.add_delivery(key, delivery)
        self._running = IsolatedChunk(self._runner, chunk, trace, self._pool, self._report_interval_s)
        try:
            if self._cancellations.has_cancelled(chunk):
                self._running.stop(cancelled=True)
            if not await self._running.run(self._beat):
                await self._returner.publish_return(chunk, "stopping")
        except Exception:
            self._pending_ids.pop(chunk.chunk_id, None)  # no heartbeat may name the chunk any more
            await self._returner.publish_return(chunk, "redelivered")
            await self._deliveries.mark_reported(key)
            raise
        finally:
            self._running = None
        await self._deliveries.mark_reported(key)

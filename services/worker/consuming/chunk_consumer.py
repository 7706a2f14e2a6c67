"""Consumes the chunks of one workload from its three priority queues while the runner has capacity."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustChannel, AbstractRobustConnection

from batchyard_contracts.topology import Queue, work_queues
from batchyard_contracts.v1.values import SlotCount
from batchyard_contracts.v1.work import ChunkReady
from services.worker.consuming.cancellations import CancellationList
from services.worker.consuming.chunk_decoder import ChunkDecoder
from services.worker.consuming.chunk_returner import ChunkReturner
from services.worker.consuming.delivery_tracker import (
    ChunkDelivery,
    ChunkKey,
    DeliveryTracker,
    chunk_deliveries,
    chunk_key,
)
from services.worker.consuming.external_cancel import run_external_cancel
from services.worker.consuming.pause_list import PauseList
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from shared.messaging.connection import open_channel
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.delivery import decode
from shared.messaging.publisher import Publisher
from shared.observability.telemetry import span
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import MessageRejected
from shared.runtime.health import Pulse

_LOWEST_EVERY = 20
_PREFETCH_MAX = 100
_IDLE_S = 5.0
_BUNDLE_WAIT_S = 1.0
"""Time in seconds that a chunk of a bundle may wait here for its start."""
_MESSAGE_TYPES = {ChunkDecoder.type: ChunkDecoder}
_PendingChunk = tuple[int, int, ChunkReady, ChunkDelivery]


class ChunkConsumer(BackgroundTask):
    """Runs chunks until stopped. A delivery is acknowledged when its report is confirmed, see `DeliveryTracker`.

    A chunk whose execution fails is returned as one whose worker was lost, so that it ends in quarantine if it fails
    everywhere. The error counts as one of this task, and the other chunks go on.
    """

    def __init__(
        self,
        runner: ItemRunner,
        connection: AbstractRobustConnection,
        publisher: Publisher,
        pulse: Pulse,
        returner: ChunkReturner,
        report_interval_s: float,
    ) -> None:
        super().__init__(
            pulse, self._start_waiting, interval_s=_IDLE_S, wake=runner.capacity_freed, on_stop=self._finish
        )
        self.runner = runner
        self._connection, self._dead_letters = connection, DeadLetters(publisher)
        self._channel: AbstractRobustChannel | None = None
        self._subscriptions: list[tuple[AbstractQueue, str]] = []
        """Consumed queues, each with its consumer tag."""
        self._returner, self._report_interval_s = returner, report_interval_s
        self._pending: list[_PendingChunk] = []
        self._sequence = itertools.count(1)
        self._started = 0
        self._running: dict[ChunkKey, ChunkExecution] = {}
        self._deliveries = DeliveryTracker(runner.manifest.item_timeout_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: list[Exception] = []
        """Errors of executions since the last step."""
        self._cancellations = CancellationList()
        self._pause_list = PauseList(_PREFETCH_MAX + 4 * runner.slots.max_slots)

    @property
    def chunk_ids(self) -> list[UUID]:
        """Ids of the chunks that run or wait on this worker."""
        return [*(chunk_id for chunk_id, _ in self._running), *(chunk.chunk_id for _, _, chunk, _ in self._pending)]

    @property
    def unfinished(self) -> int:
        """Number of items on this worker without an outcome."""
        return self.runner.unfinished

    @property
    def slots(self) -> SlotCount:
        """Number of open and busy slots, and their maximum."""
        slots = self.runner.slots
        return SlotCount(busy=slots.busy, open=slots.open, max=slots.max_slots)

    @property
    def workload(self) -> str:
        """Name of the workload."""
        return self.runner.workload.name

    @property
    def stuck_handlers(self) -> int:
        """Number of handlers that still run although their items have ended."""
        return self.runner.stuck_handlers

    def trim(self) -> None:
        """Close slots that were not used since the last call."""
        self.runner.trim()

    async def _start_waiting(self) -> float | None:
        """Start waiting chunks while the runner has capacity; the first step begins to consume."""
        if self._channel is None:
            self._channel = await self._consume()
        while self._pending and self._has_capacity:
            self._start(*self._pop_next())
        if self._failed:
            failed, self._failed = self._failed, []
            raise ExceptionGroup("chunks failed", failed)
        return self._return_kept_waiting()

    def _return_kept_waiting(self) -> float | None:
        """Return the chunks of bundles that others have kept waiting for too long, so that another worker may run them;
        the result is the time in seconds after which to look again."""
        if not any(delivery.is_bundled for _, _, _, delivery in self._pending):
            return None
        arrived_before = time.monotonic() - _BUNDLE_WAIT_S
        pending, self._pending = self._pending, []
        for entry in pending:
            _, _, chunk, delivery = entry
            if delivery.is_bundled and delivery.arrived_at < arrived_before:
                self._run_in_background(self._returner.return_chunk(chunk, delivery, "stopping"))
            else:
                self._pending.append(entry)
        heapq.heapify(self._pending)
        return _BUNDLE_WAIT_S / 2

    async def _consume(self) -> AbstractRobustChannel:
        channel = await open_channel(self._connection)
        try:
            await channel.set_qos(prefetch_count=min(_PREFETCH_MAX, self.runner.slots.max_slots + 2))
            for rank, queue in enumerate(work_queues(self.workload)):
                declared = await channel.declare_queue(queue.name, passive=True)
                tag = await declared.consume(self._message_handler(rank, queue))
                self._subscriptions.append((declared, tag))
        except Exception:
            self._subscriptions.clear()
            if not channel.is_closed:
                await channel.close()
            raise
        return channel

    async def _finish(self) -> None:
        """Take no more chunks, return the waiting ones, and wait for those that run."""
        channel = self._channel
        if channel is not None and not channel.is_closed:
            for declared, tag in self._subscriptions:
                await declared.cancel(tag)
        while self._pending:
            _, _, chunk, delivery = self._pending.pop()
            self._run_in_background(self._returner.return_chunk(chunk, delivery, "stopping"))
        while self._tasks:
            await asyncio.wait(self._tasks)
        if channel is not None and not channel.is_closed:
            await channel.close()

    def cancel(self, batch_id: UUID, round_: int | None = None) -> None:
        """Cancel a batch: running items are interrupted, later chunks do not start. With a round, later rounds still
        run."""
        self._cancellations.add(batch_id, round_, time.monotonic())
        for run in self._running.values():
            if run.chunk.batch_id == batch_id and self._cancellations.has_cancelled(run.chunk):
                run.stop(cancelled=True)

    def clear_cancellation(self, batch_id: UUID | None = None) -> None:
        """Let a batch that was cancelled without a round, or all of them, run again."""
        if batch_id is None:
            self._cancellations.clear()
            self._pause_list.clear()
        else:
            self._cancellations.discard(batch_id)

    def set_paused(self, batch_id: UUID, at: datetime, *, paused: bool, round_: int | None = None) -> None:
        """Return the waiting chunks of a paused batch, now and as they arrive; `paused=False` ends that. With a round,
        chunks of later rounds still run."""
        if self._pause_list.update(batch_id, at, paused=paused, round_=round_) and paused:
            pending, self._pending = self._pending, []
            for entry in pending:
                if entry[2].batch_id == batch_id and self._pause_list.hold_chunk(entry[2]):
                    self._start(*entry, paused=True)
                else:
                    self._pending.append(entry)
            heapq.heapify(self._pending)

    def interrupt(self) -> None:
        """Interrupt all running chunks; their items run on other workers."""
        for run in self._running.values():
            run.stop(cancelled=False)

    @property
    def _has_capacity(self) -> bool:
        in_hand = len(self._running) if self.runner.whole_chunks else self.runner.unfinished
        return in_hand < self.runner.slots.max_slots

    def _message_handler(self, rank: int, queue: Queue) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        async def on_message(message: AbstractIncomingMessage) -> None:
            for delivery in chunk_deliveries(message):
                self._take(rank, queue, delivery)

        return on_message

    def _take(self, rank: int, queue: Queue, delivery: ChunkDelivery) -> None:
        """Let a delivered chunk wait for its start, or deal with one that does not start here."""
        try:
            chunk = decode(delivery.delivery, _MESSAGE_TYPES)
        except MessageRejected as error:
            self._run_in_background(self._dead_letter(queue, delivery, str(error)))
            return
        key = chunk_key(chunk)
        if chunk.external_cancel:
            self._run_in_background(run_external_cancel(self.runner, chunk, delivery))
            return
        if self._deliveries.is_known(key):
            self._run_in_background(self._deliveries.add_delivery(key, delivery))
            return
        if delivery.is_redelivered and chunk.chunk_id not in self.chunk_ids:
            # its worker was lost, perhaps because of it
            self._run_in_background(self._returner.return_chunk(chunk, delivery, "redelivered"))
            return
        entry = (rank, next(self._sequence), chunk, delivery)
        if self._pause_list.hold_chunk(chunk):
            self._start(*entry, paused=True)
            return
        if delivery.is_redelivered:
            self._drop_stale(chunk)
        heapq.heappush(self._pending, entry)
        self.runner.capacity_freed.set()

    def _drop_stale(self, chunk: ChunkReady) -> None:
        """Forget the waiting deliveries of a chunk whose channel was lost: it has been delivered again."""
        self._pending = [
            entry for entry in self._pending if entry[2].chunk_id != chunk.chunk_id or not entry[3].is_stale
        ]
        heapq.heapify(self._pending)

    def _pop_next(self) -> _PendingChunk:
        """Return the chunk of the highest priority; every 20th time that of the lowest, so that it never starves."""
        self._started += 1
        if self._started % _LOWEST_EVERY == 0:
            lowest = max(self._pending, key=lambda w: (w[0], -w[1]))
            self._pending.remove(lowest)
            heapq.heapify(self._pending)
            return lowest
        return heapq.heappop(self._pending)

    def _start(self, _: int, __: int, chunk: ChunkReady, delivery: ChunkDelivery, *, paused: bool = False) -> None:
        if delivery.is_stale:
            return
        key = chunk_key(chunk)
        if self._deliveries.is_known(key):  # a second delivery before the chunk started
            self._run_in_background(self._deliveries.add_delivery(key, delivery))
            return
        run = ChunkExecution(self.runner, chunk, delivery.traceparent, self._report_interval_s)
        self._deliveries.track(key)
        if paused:
            run.pause()
        if self._cancellations.has_cancelled(chunk):
            run.stop(cancelled=True)
        self.runner.unfinished += len(chunk.items)
        self._running[key] = run
        self._run_in_background(self._run(run, delivery))

    def _run_in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failed.append(error)
            self.runner.capacity_freed.set()

    async def _run(self, run: ChunkExecution, delivery: ChunkDelivery) -> None:
        chunk, trace, key = run.chunk, delivery.traceparent, chunk_key(run.chunk)
        await self._deliveries.add_delivery(key, delivery)
        failure: Exception | None = None
        try:
            with span(f"run {chunk.workload}", trace, batch_id=str(chunk.batch_id), items=len(chunk.items)):
                await run.run()
        except Exception as error:  # noqa: BLE001  raised below, after the chunk was returned
            failure = error
        finally:
            del self._running[key]
        if failure is not None:
            await self._returner.publish_return(chunk, "redelivered")
        await self._deliveries.mark_reported(key)
        if failure is not None:
            raise failure

    async def _dead_letter(self, queue: Queue, delivery: ChunkDelivery, reason: str) -> None:
        await self._dead_letters.add(queue, delivery.delivery, reason)
        await delivery.acknowledge()

"""Publishes the progress of batches: the first change at once, then at most 50 a second, and always the last one.

The end of a round has its own event, and no progress of the batch follows it. Progress events are transient and are
dropped while the broker is unavailable: the next one is complete again. Each aggregator publishes the changes that it
made itself; `at` orders them.
"""

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import progress_event
from services.aggregator.domain.partial_progress import PartialProgress
from services.aggregator.domain.report import Report
from services.aggregator.domain.throughput import Throughput
from shared.messaging.publisher import OutgoingMessage
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()
INTERVAL_S, INTERVAL_OF_MANY_S = 0.02, 0.05
"""Shortest time between two events of a batch, while at most `FEW` batches change, and while more do."""
FEW = 20
MAX_PROGRESS_EVENTS_PER_S = 400
"""Limit over all batches while more than `FEW` change: with each further one the events become less frequent."""
_MAX_BATCHES = 10_000

Publish = Callable[[Sequence[OutgoingMessage]], Awaitable[None]]


@dataclass(slots=True)
class _ActiveBatch:
    latest: Batch
    throughput: Throughput
    sent_at: float = float("-inf")
    is_due: bool = False
    partial_progress: PartialProgress | None = None


class ProgressEvents:
    """Publisher of `batch.progressed` events with a rate limit."""

    IDLE_S: ClassVar[float] = 1.0

    def __init__(self, publish: Publish, clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._active: OrderedDict[UUID, _ActiveBatch] = OrderedDict()
        self._schedule: list[tuple[float, UUID]] = []
        self.wake = asyncio.Event()
        """Set when an event has been scheduled."""

    def update(self, batch: Batch) -> None:
        """Schedule an event for a changed batch; return at once."""
        now = self._clock()
        active = self._active.get(batch.batch_id)
        if active is None:
            active = _ActiveBatch(batch, Throughput.start(now, batch.counters.ended))
            self._active[batch.batch_id] = active
            if len(self._active) > _MAX_BATCHES:
                self._active.popitem(last=False)
        else:
            active.latest = batch
            active.throughput = active.throughput.observe(now, batch.counters.ended)
            self._active.move_to_end(batch.batch_id)
        if not active.is_due:
            active.is_due = True
            due_at = max(now, active.sent_at + interval_s(len(self._schedule) + 1))
            heapq.heappush(self._schedule, (due_at, batch.batch_id))
            self.wake.set()

    def has_partial_progress(self, batch_id: UUID) -> bool:
        """Tell whether items of a batch have reported their own progress."""
        active = self._active.get(batch_id)
        return active is not None and active.partial_progress is not None

    def update_partial_progress(self, batch: Batch, reports: Sequence[Report | ItemsSettled]) -> None:
        """Take over the progress that items report, and drop items that have ended."""
        active = self._active.get(batch.batch_id)
        partial_progress = (
            active.partial_progress
            if active and active.partial_progress and active.partial_progress.round == batch.round
            else PartialProgress(batch.round)
        )
        for report in reports:
            if report.round == batch.round:
                partial_progress.update(report)
        if partial_progress.shares or (active and active.partial_progress):
            self.update(batch)
            self._active[batch.batch_id].partial_progress = partial_progress

    def discard(self, batch_id: UUID) -> None:
        """Stop publishing progress of a batch that has finished."""
        self._active.pop(batch_id, None)

    def items_per_s(self, batch_id: UUID) -> float | None:
        """Return the throughput of a batch that is active in this process."""
        active = self._active.get(batch_id)
        return None if active is None else active.throughput.items_per_s(self._clock())

    async def publish_due(self) -> float | None:
        """Publish the events that are due; return the seconds until the next one is, or None if none is scheduled."""
        await self._publish_until(self._clock())
        return max(0.0, self._schedule[0][0] - self._clock()) if self._schedule else None

    async def publish_rest(self) -> None:
        """Publish all scheduled events."""
        await self._publish_until(float("inf"))

    async def _publish_until(self, until: float) -> None:
        messages: list[OutgoingMessage] = []
        while self._schedule and self._schedule[0][0] <= until:
            _, batch_id = heapq.heappop(self._schedule)
            active = self._active.get(batch_id)
            if active is None or not active.is_due:
                continue
            now = self._clock()
            active.is_due = False
            active.sent_at = now
            messages += _messages(active, now)
        if not messages:
            return
        try:
            await self._publish(messages)
        except PublishFailed as error:
            log.info("progress events dropped", messages=len(messages), error=str(error))


def interval_s(changing: int) -> float:
    """Return the shortest time between two events of a batch while so many batches change."""
    return INTERVAL_S if changing <= FEW else max(INTERVAL_OF_MANY_S, changing / MAX_PROGRESS_EVENTS_PER_S)


def _messages(active: _ActiveBatch, now: float) -> list[OutgoingMessage]:
    batch, partial_progress = active.latest, active.partial_progress
    share = (
        partial_progress.overall_share(batch.counters.ended, batch.total)
        if partial_progress and partial_progress.round == batch.round
        else None
    )
    event = progress_event(batch, active.throughput.items_per_s(now), share)
    if event is None:
        return []
    header = active.latest.header
    return [
        OutgoingMessage(
            topology.EVENTS,
            event.routing_key(),
            event.type,
            event.encode(),
            traceparent=header.traceparent if header else None,
            persistent=False,
        )
    ]

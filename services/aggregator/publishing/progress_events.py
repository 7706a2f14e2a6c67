"""Tells how far each batch is: the first change at once, then at most 20 times a second, and always the last one.

The end of a round is told by its own event; nothing about the batch follows that. Frames are not persistent, and are
dropped while the broker is away: the next one says everything. All of it concerns the changes that this process
made; where several aggregators share the work, each tells of its own, and `at` puts them in order.
"""

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import progressed
from services.aggregator.domain.partial_progress import Parts
from services.aggregator.domain.report import Report
from services.aggregator.domain.throughput import Pace
from shared.messaging.publisher import Outgoing
from shared.runtime.errors import PublishFailed
from shared.runtime.health import Pulse

log = structlog.get_logger()
INTERVAL_S = 0.05
FRAMES_PER_S = 400
"""Over all batches: when more than 20 move at once, each is told of less often."""
_MOST_BATCHES = 10_000
_IDLE_S = 1.0

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


@dataclass(slots=True)
class _Moving:
    latest: Batch
    pace: Pace
    sent_at: float = float("-inf")
    waiting: bool = False
    parts: Parts | None = None


class Progress:
    """The batches that move now."""

    def __init__(self, publish: Publish, pulse: Pulse, clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._pulse = pulse
        self._clock = clock
        self._moving: OrderedDict[UUID, _Moving] = OrderedDict()
        self._due: list[tuple[float, UUID]] = []
        self._wake = asyncio.Event()
        self._stopping = False

    def note(self, batch: Batch) -> None:
        """A batch has changed; returns at once."""
        now = self._clock()
        moving = self._moving.get(batch.batch_id)
        if moving is None:
            moving = _Moving(batch, Pace.start(now, batch.tally.ended))
            self._moving[batch.batch_id] = moving
            if len(self._moving) > _MOST_BATCHES:
                self._moving.popitem(last=False)
        else:
            moving.latest = batch
            moving.pace = moving.pace.seen(now, batch.tally.ended)
            self._moving.move_to_end(batch.batch_id)
        if not moving.waiting:
            moving.waiting = True
            interval = max(INTERVAL_S, len(self._due) / FRAMES_PER_S)
            heapq.heappush(self._due, (max(now, moving.sent_at + interval), batch.batch_id))
            self._wake.set()

    def hears(self, batch_id: UUID) -> bool:
        """Whether items of a batch have said how far they are."""
        moving = self._moving.get(batch_id)
        return moving is not None and moving.parts is not None

    def hear(self, batch: Batch, reports: Sequence[Report | ItemsSettled]) -> None:
        """Items say how far they are, or end that did so before."""
        moving = self._moving.get(batch.batch_id)
        parts = moving.parts if moving and moving.parts and moving.parts.round == batch.round else Parts(batch.round)
        for report in reports:
            if report.round == batch.round:
                parts.hear(report)
        if parts.done or (moving and moving.parts):
            self.note(batch)
            self._moving[batch.batch_id].parts = parts

    def forget(self, batch_id: UUID) -> None:
        """A batch has finished: what was still to be told of it is in the event of its end."""
        self._moving.pop(batch_id, None)

    def items_per_s(self, batch_id: UUID) -> float | None:
        """The pace of a batch that moves in this process."""
        moving = self._moving.get(batch_id)
        return None if moving is None else moving.pace.per_second(self._clock())

    async def run(self) -> None:
        """Publish what is due, until `stop`; then what still waits."""
        while not self._stopping:
            self._pulse.beat()
            timeout_s = min(_IDLE_S, self._due[0][0] - self._clock()) if self._due else _IDLE_S
            if timeout_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._wake.wait()
            self._wake.clear()
            await self._send(self._clock())
        await self._send(float("inf"))

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._wake.set()

    async def _send(self, until: float) -> None:
        frames: list[Outgoing] = []
        while self._due and self._due[0][0] <= until:
            _, batch_id = heapq.heappop(self._due)
            moving = self._moving.get(batch_id)
            if moving is None or not moving.waiting:
                continue
            now = self._clock()
            moving.waiting = False
            moving.sent_at = now
            frames += _frames(moving, now)
        if not frames:
            return
        try:
            await self._publish(frames)
        except PublishFailed as error:
            log.info("progress dropped", frames=len(frames), error=str(error))


def _frames(moving: _Moving, now: float) -> list[Outgoing]:
    batch, parts = moving.latest, moving.parts
    share = parts.share(batch.tally.ended, batch.total) if parts and parts.round == batch.round else None
    event = progressed(batch, moving.pace.per_second(now), share)
    if event is None:
        return []
    header = moving.latest.header
    return [
        Outgoing(
            topology.EVENTS,
            event.routing_key(),
            event.type,
            event.encode(),
            traceparent=header.traceparent if header else None,
            persistent=False,
        )
    ]

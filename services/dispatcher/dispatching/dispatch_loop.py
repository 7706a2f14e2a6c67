"""Keeps the workers supplied: chooses chunks while the windows are open, and sleeps until something changes."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

from services.dispatcher.dispatching.chunk_publisher import ChunksRefused, Giver
from services.dispatcher.dispatching.undeliverable import Refusals
from services.dispatcher.domain.scheduling.admission import Admission
from services.dispatcher.domain.scheduling.in_flight_window import Window
from services.dispatcher.domain.scheduling.scheduler import Again, Pick
from services.dispatcher.persistence.store import Due, Store
from services.dispatcher.state.state import Batch, Yard
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

_AT_ONCE = 64
"""Chunks in one transaction."""
_IDLE_S = 5.0
_MORE_S = 0.1
_LOAD = 1000
_GROUP_BYTES = 256 * 1024
_LOADED_MAX = 10_000
"""Items to run again that are held in memory, about."""
_LOADED_PER_LANE = 500
_LOADED_LEAST = 16
_Group = tuple[UUID, str, int, bool]
"""So many of each batch and partition are held, however many of these there are."""


class Pump:
    """The loop of the dispatcher."""

    def __init__(self, yard: Yard, store: Store, giver: Giver, refusals: Refusals, pulse: Pulse) -> None:
        self._yard, self._store, self._giver, self._pulse = yard, store, giver, pulse
        self._refusals = refusals
        self._next_retry = 0.0
        """When to look for due retries again (monotonic seconds)."""
        self._next_paced = math.inf
        """When a batch's own rate lets its next item go (monotonic seconds)."""

    def retry_in(self, seconds: float) -> None:
        """An item is due then: look for it in time."""
        self._next_retry = min(self._next_retry, time.monotonic() + seconds)
        self._yard.changed.set()

    async def run(self) -> None:
        """Give chunks out until cancelled."""
        try:
            while True:
                self._pulse.beat()
                self._yard.changed.clear()
                await self._refusals.try_again(self._pulse.beat)
                if picks := self._choose():
                    await self._give(picks)
                if time.monotonic() >= self._next_retry:
                    await retry_transient(self._load_retries, "PostgreSQL", waiting=self._pulse.beat)
                elif not picks:
                    await self._sleep()
        finally:
            self._pulse.rest()

    async def _give(self, picks: Sequence[tuple[Window, Pick]]) -> None:
        try:
            await self._giver.give(picks)
        except ChunksRefused as error:
            await self._refusals.note(error, self._pulse.beat)

    def _choose(self) -> list[tuple[Window, Pick]]:
        picks: list[tuple[Window, Pick]] = []
        self._next_paced = math.inf
        now = time.monotonic()
        for name, line in self._yard.lines.items():
            if self._refusals.waits(name):
                continue
            line.window.unpark(now)
            admission = Admission(line.window, self._yard.paces, now)
            while len(picks) < _AT_ONCE and (pick := line.scheduler.pick(admission)):
                admission.took(pick)
                picks.append((line.window, pick))
            if admission.next_at is not None:
                self._next_paced = min(self._next_paced, admission.next_at)
        return picks

    async def _sleep(self) -> None:
        now = time.monotonic()
        parked = [t for line in self._yard.lines.values() if (t := line.window.unpark(now)) is not None]
        if (again := self._refusals.next_try()) is not None:
            parked.append(again)
        until = min([now + _IDLE_S, self._next_retry, self._next_paced, *parked])
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._yard.changed.wait()
        except TimeoutError:
            return

    async def _load_retries(self) -> None:
        """Bring due items into their lanes: a bounded number for each partition of each batch, so that none of them
        can keep others out, and of no batch that may not run now."""
        yard = self._yard
        self._next_retry = time.monotonic() + _IDLE_S
        runnable = [b.batch_id for b in yard.batches.values() if self._may_run(b)]
        if runnable:
            quota = min(_LOADED_PER_LANE, max(_LOADED_LEAST, _LOADED_MAX // (1 + len(yard.loaded_by_partition))))
            full = [lane for lane, count in yard.loaded_by_partition.items() if count >= quota]
            limit = len(yard.loaded) - sum(yard.loaded_by_partition[lane] for lane in full) + _LOAD
            due = await self._store.due_retries(runnable, full, limit)
            for (batch_id, partition, attempt, quarantined), ordinals in _groups(due):
                batch = yard.batches.get(batch_id)
                queue = yard.queue(batch) if batch is not None and self._may_run(batch) else None
                room = quota - yard.loaded_by_partition[batch_id, partition]
                fresh = [o for o in ordinals if (batch_id, o) not in yard.loaded][: max(0, room)]
                if queue is not None and (new := tuple(o for o in fresh if yard.load(batch_id, partition, o))):
                    queue.lane(partition).again.append(Again(attempt, new, quarantined))
            if len(due) == limit:
                self._next_retry = time.monotonic() + _MORE_S
        if (seconds := await self._store.next_retry()) is not None:
            self._next_retry = min(self._next_retry, time.monotonic() + seconds)

    def _may_run(self, batch: Batch) -> bool:
        return not batch.paused and not batch.stopped and self._yard.line(batch.workload).window.workers > 0


def _groups(due: Sequence[Due]) -> Iterator[tuple[_Group, list[int]]]:
    """Items that may travel together: of one batch, partition and attempt, in quarantine or not, and not too large in
    all."""
    groups: dict[_Group, list[int]] = {}
    sizes: Counter[_Group] = Counter()
    for batch_id, ordinal, partition, attempt, quarantined, size in due:
        key = (batch_id, partition, attempt, quarantined)
        if key in groups and sizes[key] + size > _GROUP_BYTES:
            yield key, groups.pop(key)
            sizes[key] = 0
        groups.setdefault(key, []).append(ordinal)
        sizes[key] += size
    yield from groups.items()

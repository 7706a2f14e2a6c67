"""Counts the waiting items of each owner and of all, and their bytes, and rejects submissions beyond the limits.

PostgreSQL has the numbers: the items of each batch with their bytes, and how many have ended according to events. Bytes
count by the share of the items of a batch that wait. Each process adds what
it accepted since its last refresh, so a limit may be exceeded by what other processes accept within one second, and by
what this one accepts while the numbers are read. No item counts twice, so nothing is rejected that would fit.
"""

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, NamedTuple
from uuid import UUID

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.throughput import Throughput
from services.ingest.domain.volume import NOTHING, Volume
from services.ingest.limits.limit_keeper import LimitKeeper
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.ingest.persistence")
_FOLLOW_UPS_SQL = load_queries("services.ingest.persistence", "follow_ups.sql")
MAX_WAIT_S = 20.0
"""Longest time in seconds that an upload waits for room before it is interrupted."""


class Unfinished(NamedTuple):
    """Items and batches that have not ended, the open ones among the batches, and the items that end a second."""

    items: int
    batches: int
    open: int
    items_per_s: float


class Backpressure:
    """Numbers of waiting items, and the limits on them. They are updated every `INTERVAL_S` seconds."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(self, pool: Pool, limits: LimitKeeper, *, total: int) -> None:
        self._pool = pool
        self._limits = limits
        self._max_total = total
        self._waiting: dict[str, Volume] = {}
        self._batches: dict[str, tuple[int, int]] = {}
        """Unfinished batches of each owner, and how many of them are open."""
        self._reserved: dict[str, Volume] = {}
        self._total = 0
        """Waiting items of all owners."""
        self._unsaved: dict[UUID, ProgressSnapshot] = {}
        self._unsaved_ends: dict[tuple[UUID, str], None] = {}
        """Ends of rounds, also of earlier ones, by which follow-ups become due."""
        self._ended_by_batch: dict[UUID, tuple[int, int]] = {}
        self._ended_by_owner: Counter[str] = Counter()
        self._throughputs: defaultdict[str, Throughput] = defaultdict(Throughput)
        self._total_throughput = Throughput()
        self._measured_at = time.monotonic()
        self._refreshed = asyncio.Condition()

    def check(self, owner: str, volume: Volume) -> None:
        """Raise `IngestError` (429) when so much more would exceed a limit."""
        rejection = self._check_bounds(owner, volume)
        if rejection is not None:
            raise IngestError(rejection)

    async def wait_for_room(self, owner: str, volume: Volume) -> None:
        """Wait up to `MAX_WAIT_S` until so much more fits; raises `IngestError` (429) when it does not even then."""
        if self._check_bounds(owner, volume) is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_S), self._refreshed:
                await self._refreshed.wait_for(lambda: self._check_bounds(owner, volume) is None)
        self.check(owner, volume)

    @contextmanager
    def reserve(self, owner: str, volume: Volume) -> Iterator[Callable[[], None]]:
        """Count items that have been checked, while they are being committed. Yields the function to call as soon as
        they are: they count as accepted from then on, also while their messages are sent."""
        is_reserved = True

        def release() -> None:
            nonlocal is_reserved
            if is_reserved:
                is_reserved = False
                left = self._reserved.pop(owner, NOTHING) - volume  # absent beside a batch without items
                if left != NOTHING:
                    self._reserved[owner] = left

        def accept() -> None:  # perhaps after the end of a request that was cancelled
            release()
            self.record_accepted(owner, volume)

        self._reserved[owner] = self._reserved.get(owner, NOTHING) + volume
        try:
            yield accept
        finally:
            release()

    def record_accepted(self, owner: str, volume: Volume) -> None:
        """Count items that this process has just accepted."""
        self._waiting[owner] = self.waiting(owner) + volume
        self._total += volume.items

    def waiting(self, owner: str) -> Volume:
        """Return what an owner has that waits, as of the last refresh and by what was accepted since."""
        return self._waiting.get(owner, NOTHING)

    def record_progress(self, batch_id: UUID, snapshot: ProgressSnapshot) -> None:
        """Apply the progress of a batch, as an event or the aggregator reports it."""
        if snapshot.result is not None:
            self._unsaved_ends[batch_id, snapshot.result] = None
        earlier = self._unsaved.get(batch_id)
        if earlier is None or snapshot.rank > earlier.rank:
            self._unsaved[batch_id] = snapshot
        round_, final, ended = snapshot.rank
        last = self._ended_by_batch.pop(batch_id, None)
        if last is not None and last[0] == round_:
            self._ended_by_owner[snapshot.owner] += max(0, ended - last[1])
        elif final:
            self._ended_by_owner[snapshot.owner] += ended
        if not final:
            self._ended_by_batch[batch_id] = (round_, ended)

    def unfinished(self, owner: str | None) -> Unfinished:
        """Return what an owner has that has not ended, or all owners (None), as of the last refresh."""
        counted = [self._batches.get(owner, (0, 0))] if owner else list(self._batches.values())
        throughput = self._throughputs.get(owner) if owner else self._total_throughput
        return Unfinished(
            items=max(0, self.waiting(owner).items if owner else self._total),
            batches=sum(batches for batches, _ in counted),
            open=sum(open_ for _, open_ in counted),
            items_per_s=throughput.per_s if throughput else 0.0,
        )

    def has_finished(self, batch_id: UUID, round_: int) -> bool:
        """Tell whether an event that is not saved yet reported the end of this round, or of a later one."""
        snapshot = self._unsaved.get(batch_id)
        return snapshot is not None and snapshot.final and snapshot.rank[0] >= round_

    async def update(self) -> None:
        """Save progress and refresh the numbers."""
        await self._save_progress()
        await self.refresh()

    async def refresh(self) -> None:
        """Read the numbers from PostgreSQL, and wake the uploads that wait for room."""
        rows = await self._pool.fetch(_SQL["waiting_items"])
        self._waiting = {row["owner"]: Volume(row["items"], row["bytes"]) for row in rows}
        self._batches = {row["owner"]: (row["batches"], row["open"]) for row in rows}
        self._total = sum(volume.items for volume in self._waiting.values())
        self._measure_throughput()
        async with self._refreshed:
            self._refreshed.notify_all()

    async def _save_progress(self) -> None:
        unsaved, self._unsaved = self._unsaved, {}
        ends, self._unsaved_ends = self._unsaved_ends, {}
        if not unsaved and not ends:
            return
        ranks = [snapshot.rank for snapshot in unsaved.values()]
        try:
            if ends:  # before the end itself: nobody asks the aggregator about a batch that has ended
                await self._pool.execute(_FOLLOW_UPS_SQL["make_due"], *columns(list(ends), 2))
            await self._pool.execute(
                _SQL["record_progress"],
                list(unsaved),
                [round_ for round_, _, _ in ranks],
                [bool(final) for _, final, _ in ranks],
                [ended for _, _, ended in ranks],
                [snapshot.result for snapshot in unsaved.values()],
            )
        except Exception:
            self._unsaved = unsaved | self._unsaved
            self._unsaved_ends = ends | self._unsaved_ends
            raise

    def _measure_throughput(self) -> None:
        now = time.monotonic()
        elapsed_s, self._measured_at = now - self._measured_at, now
        ended, self._ended_by_owner = self._ended_by_owner, Counter()
        self._total_throughput.record(ended.total(), elapsed_s)
        for owner in {*self._throughputs, *ended}:
            self._throughputs[owner].record(ended[owner], elapsed_s)
            if owner not in self._waiting:
                del self._throughputs[owner]

    def _check_bounds(self, owner: str, volume: Volume) -> Rejection | None:
        limits, throughput = self._limits.limits(owner), self._throughputs.get(owner, Throughput())
        waiting = self.waiting(owner) + self._reserved.get(owner, NOTHING)
        total = self._total + sum(reserved.items for reserved in self._reserved.values())
        after = waiting + volume
        if after.items > limits.waiting_items:
            return _too_many(waiting.items, f"of {owner!r}", volume.items, limits.waiting_items, throughput)
        if total + volume.items > self._max_total:
            return _too_many(total, "of all owners", volume.items, self._max_total, self._total_throughput)
        if after.size > limits.waiting_bytes:
            return _too_large(owner, waiting, after.size - limits.waiting_bytes, limits.waiting_bytes, throughput)
        return None


def _too_many(waiting: int, whose: str, more: int, limit: int, throughput: Throughput) -> Rejection:
    return Rejection(
        "too_many_waiting",
        f"{waiting} items {whose} are waiting; the limit is {limit}. About {throughput.per_s:.0f} items end per "
        "second. Try again later, or cancel a batch that is not needed.",
        429,
        retry_after_s=throughput.wait_s(waiting + more - limit),
    )


def _too_large(owner: str, waiting: Volume, excess: int, limit: int, throughput: Throughput) -> Rejection:
    items = waiting.items * excess / waiting.size if waiting.size else waiting.items
    return Rejection(
        "too_many_bytes_waiting",
        f"The items of {owner!r} that are waiting have {waiting.size} bytes; the limit is {limit}. About "
        f"{throughput.per_s:.0f} items end per second. Try again later, cancel a batch that is not needed, or pass "
        "large data by reference.",
        429,
        retry_after_s=throughput.wait_s(math.ceil(items)),
    )

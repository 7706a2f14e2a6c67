"""Counts the waiting items of each owner and of all, and rejects submissions beyond the limits.

PostgreSQL has the numbers: the items of each batch, and how many have ended according to events. Each process adds what
it accepted since its last refresh, so a limit may be exceeded by what other processes accept within one second, and by
what this one accepts while the numbers are read. No item counts twice, so nothing is rejected that would fit.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, NamedTuple
from uuid import UUID

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.throughput import Throughput
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
        self._waiting: Counter[str] = Counter()
        self._batches: dict[str, tuple[int, int]] = {}
        """Unfinished batches of each owner, and how many of them are open."""
        self._reserved: Counter[str] = Counter()
        self._total = 0
        self._unsaved: dict[UUID, ProgressSnapshot] = {}
        self._unsaved_ends: dict[tuple[UUID, str], None] = {}
        """Ends of rounds, also of earlier ones, by which follow-ups become due."""
        self._ended_by_batch: dict[UUID, tuple[int, int]] = {}
        self._ended_by_owner: Counter[str] = Counter()
        self._throughputs: defaultdict[str, Throughput] = defaultdict(Throughput)
        self._total_throughput = Throughput()
        self._measured_at = time.monotonic()
        self._refreshed = asyncio.Condition()

    def check(self, owner: str, items: int) -> None:
        """Raise `IngestError` (429) when `items` more would exceed a limit."""
        rejection = self._check_bounds(owner, items)
        if rejection is not None:
            raise IngestError(rejection)

    async def wait_for_room(self, owner: str, items: int) -> None:
        """Wait up to `MAX_WAIT_S` until `items` more fit; raises `IngestError` (429) when they do not even then."""
        if self._check_bounds(owner, items) is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_S), self._refreshed:
                await self._refreshed.wait_for(lambda: self._check_bounds(owner, items) is None)
        self.check(owner, items)

    @contextmanager
    def reserve(self, owner: str, items: int) -> Iterator[None]:
        """Count items that have been checked, while they are being committed."""
        self._reserved[owner] += items
        try:
            yield
        finally:
            self._reserved[owner] -= items
            if not self._reserved[owner]:
                del self._reserved[owner]

    def record_accepted(self, owner: str, items: int) -> None:
        """Count items that this process has just accepted."""
        self._waiting[owner] += items
        self._total += items

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
            items=max(0, self._waiting[owner] if owner else self._total),
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
        self._waiting = Counter({row["owner"]: row["waiting"] for row in rows})
        self._batches = {row["owner"]: (row["batches"], row["open"]) for row in rows}
        self._total = self._waiting.total()
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

    def _check_bounds(self, owner: str, items: int) -> Rejection | None:
        waiting, total = self._waiting[owner] + self._reserved[owner], self._total + self._reserved.total()
        per_owner = self._limits.limits(owner).waiting_items
        if waiting + items > per_owner:
            throughput, limit, whose = (
                self._throughputs.get(owner, Throughput()),
                per_owner,
                f"of {owner!r} are waiting",
            )
        elif total + items > self._max_total:
            throughput, limit, whose, waiting = (
                self._total_throughput,
                self._max_total,
                "of all owners are waiting",
                total,
            )
        else:
            return None
        return Rejection(
            "too_many_waiting",
            f"{waiting} items {whose}; the limit is {limit}. About {throughput.per_s:.0f} items end per second. Try "
            "again later, or cancel a batch that is not needed.",
            429,
            retry_after_s=throughput.wait_s(waiting + items - limit),
        )

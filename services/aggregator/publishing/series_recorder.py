"""Collects samples for charts in memory, and saves them now and then: nothing waits for them.

A sample of a batch covers at least two seconds, and half a per cent of the age of the batch, so that a batch of any
length has some hundred to two thousand of them. A batch that ends before its first sample has none. What was collected
is lost with the process; a chart then shows too little for some seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import ClassVar, TypeVar
from uuid import UUID

from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.outcome_rows import COLUMNS, Row
from services.aggregator.domain.report import Report
from services.aggregator.domain.series import Sample, bucket_of
from services.aggregator.persistence.series_store import ALL_OWNERS, OWNER_STEP, SeriesStore, start_of_step

MAX_SAMPLES_AT_ONCE = 500
"""Samples of batches that are saved at once; those of further ones wait, and grow."""
_SHARE_OF_AGE = 1 / 200
_MAX_COLLECTED = 10_000
"""Batches, and owners, for which samples are collected."""
_DURATIONS_OF_MESSAGE = 32
"""Items of which the duration counts, of all that are recorded together."""
_MAX_DESTINATIONS, _SAVED_DESTINATIONS = 64, 8
"""Destinations of a batch that are counted for one sample, and those of them that are saved."""
_MAX_DESTINATION_LENGTH = 255
_DURATIONS_OF_REPORT = 8
"""Items of which the duration counts for the destination, of all that are reported together."""
_RAN = ("succeeded", "failed")
_elapsed_of = itemgetter(COLUMNS.index("elapsed_ms"))
_batch_of = itemgetter(COLUMNS.index("batch"))
KeyT = TypeVar("KeyT", int, str)
_Destinations = dict[str, Counter[int]]


@dataclass(slots=True)
class _Collected:
    from_at: datetime
    batch: Batch | None = None
    succeeded: int = 0
    failed: int = 0
    other: int = 0
    durations: list[int] = field(default_factory=list)
    destinations: _Destinations = field(default_factory=dict)

    def add(self, succeeded: int, failed: int, other: int) -> None:
        self.succeeded += succeeded
        self.failed += failed
        self.other += other

    def add_duration(self, bucket: int, number: int = 1) -> None:
        if bucket >= len(self.durations):
            self.durations += [0] * (bucket + 1 - len(self.durations))
        self.durations[bucket] += number

    def merge(self, earlier: "_Collected") -> None:
        self.from_at = min(self.from_at, earlier.from_at)
        self.batch = self.batch or earlier.batch
        self.add(earlier.succeeded, earlier.failed, earlier.other)
        for bucket, number in enumerate(earlier.durations):
            self.add_duration(bucket, number)
        for name, durations in earlier.destinations.items():
            self.destinations.setdefault(name, Counter()).update(durations)

    @property
    def is_full(self) -> bool:
        return len(self.destinations) >= _MAX_DESTINATIONS

    def sample(self, from_at: datetime, at: datetime) -> Sample:
        most = sorted(self.destinations.items(), key=lambda one: -one[1].total())[:_SAVED_DESTINATIONS]
        return Sample(from_at, at, self.succeeded, self.failed, self.other, self.durations, dict(most))


class SeriesRecorder:
    """Recorder of samples."""

    INTERVAL_S: ClassVar[float] = 2.0

    def __init__(self, store: SeriesStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._tick_at = clock()
        self._owners_since = start_of_step(self._tick_at, OWNER_STEP)
        self._batches: dict[int, _Collected] = {}
        self._owners: dict[str, _Collected] = {}

    def record(
        self, changes: Sequence[tuple[Batch, OutcomeCounters]], rows: Sequence[Row], reports: Iterable[object] = ()
    ) -> None:
        """Take up the outcomes that were committed together: their numbers by batch, and the durations of some; those
        of destinations come from the reports."""
        totals: dict[str, list[int]] = {}
        owners: dict[int, str] = {}
        for batch, new in changes:
            if batch.header is None or not new.ended:
                continue
            owner, other = batch.header.owner, new.cancelled + new.expired + new.duplicate
            owners[batch.key] = owner
            total = totals.setdefault(owner, [0, 0, 0])
            total[0] += new.succeeded
            total[1] += new.failed
            total[2] += other
            is_whole = batch.is_finished and new.ended == batch.counters.ended  # as most small batches are
            if not is_whole and (found := self._collected(self._batches, batch.key)) is not None:
                found.batch = batch
                found.add(new.succeeded, new.failed, other)
        for owner, (succeeded, failed, other) in totals.items():
            for name in (owner, ALL_OWNERS):
                if (found := self._collected(self._owners, name)) is not None:
                    found.add(succeeded, failed, other)
        self._record_durations(rows[:: max(1, len(rows) // _DURATIONS_OF_MESSAGE)], owners)
        own = {batch.batch_id: found for batch, _ in changes if (found := self._batches.get(batch.key)) is not None}
        if own:
            _record_destinations(own, reports)

    def _record_durations(self, rows: Sequence[Row], owners: Mapping[int, str]) -> None:
        for row in rows:
            elapsed_ms, key = _elapsed_of(row), _batch_of(row)
            if elapsed_ms is None or key not in owners:
                continue
            bucket = bucket_of(elapsed_ms)
            collected = self._batches.get(key), self._owners.get(owners[key]), self._owners.get(ALL_OWNERS)
            for found in collected:
                if found is not None:
                    found.add_duration(bucket)

    async def save(self) -> None:
        """Save the samples that are due."""
        now = self._tick_at = self._clock()  # items that end while this is saved belong to the next sample
        await self._save_batches(now)
        if start_of_step(now, OWNER_STEP) > self._owners_since:
            await self._save_owners(start_of_step(now, OWNER_STEP))

    async def save_rest(self) -> None:
        """Save all samples, because the process ends."""
        now = self._clock()
        while self._batches:
            await self._save_batches(now, is_last=True)
        await self._save_owners(now)

    def _collected(self, collected: dict[KeyT, _Collected], key: KeyT) -> _Collected | None:
        found = collected.get(key)
        if found is None and len(collected) < _MAX_COLLECTED:
            found = collected[key] = _Collected(self._tick_at)
        return found

    async def _save_batches(self, now: datetime, *, is_last: bool = False) -> None:
        due = [key for key, one in self._batches.items() if is_last or _is_due(one, now)]
        due = sorted(due, key=lambda key: self._batches[key].from_at)[:MAX_SAMPLES_AT_ONCE]
        taken = {key: self._batches.pop(key) for key in due}
        try:
            await self._store.save_batches(
                [(key, one.sample(one.from_at, now)) for key, one in taken.items() if not _is_whole(one)]
            )
        except BaseException:
            _put_back(self._batches, taken)
            raise

    async def _save_owners(self, until: datetime) -> None:
        taken, self._owners = self._owners, {}
        try:
            rows = [(owner, one.sample(self._owners_since, until)) for owner, one in sorted(taken.items())]
            await self._store.save_owners(rows)
        except BaseException:
            _put_back(self._owners, taken)
            raise
        self._owners_since = start_of_step(until, OWNER_STEP)


def _record_destinations(collected: Mapping[UUID, _Collected], reports: Iterable[object]) -> None:
    for report in reports:
        if not isinstance(report, Report) or not 0 < len(report.partition) <= _MAX_DESTINATION_LENGTH:
            continue
        found = collected.get(report.batch_id)
        if found is None or (report.partition not in found.destinations and found.is_full):
            continue
        durations = found.destinations.setdefault(report.partition, Counter())
        for outcome in report.outcomes[:: max(1, len(report.outcomes) // _DURATIONS_OF_REPORT)]:
            if outcome.status in _RAN and not outcome.cached:
                durations[bucket_of(outcome.elapsed_ms)] += 1


def _is_due(one: _Collected, now: datetime) -> bool:
    batch = one.batch
    if batch is None or batch.header is None or batch.is_finished:
        return True
    wanted = max(timedelta(seconds=SeriesRecorder.INTERVAL_S), (now - batch.header.accepted_at) * _SHARE_OF_AGE)
    return now - one.from_at >= wanted


def _is_whole(one: _Collected) -> bool:
    """Tell whether a batch ended before its first sample, as most small ones do: it gets none."""
    counted = one.succeeded + one.failed + one.other
    return one.batch is not None and one.batch.is_finished and counted == one.batch.counters.ended


def _put_back(collected: dict[KeyT, _Collected], taken: dict[KeyT, _Collected]) -> None:
    for key, one in taken.items():
        if (newer := collected.get(key)) is None:
            collected[key] = one
        else:
            newer.merge(one)

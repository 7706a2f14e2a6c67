"""Samples are collected in memory, saved in time, and bounded in number whatever the length of a batch."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.outcome_rows import COLUMNS, Row
from services.aggregator.domain.report import Report
from services.aggregator.domain.series import Sample, bucket_of
from services.aggregator.persistence.series_store import SeriesStore
from services.aggregator.publishing.series_recorder import MAX_SAMPLES_AT_ONCE, SeriesRecorder
from tests.support.ledger_messages import START, at, batch, processed


class FakeStore:
    """Remembers what was saved."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, Sample]] = []
        self.owners: list[tuple[str, Sample]] = []
        self.is_away = False
        self.on_save: Callable[[], None] = lambda: None

    async def save_batches(self, samples: Sequence[tuple[int, Sample]]) -> None:
        if self.is_away:
            raise ConnectionError
        self.on_save()
        self.batches += samples

    async def save_owners(self, samples: Sequence[tuple[str, Sample]]) -> None:
        if self.is_away:
            raise ConnectionError
        self.owners += samples


class Recording:
    """A recorder whose clock a test sets."""

    def __init__(self) -> None:
        self.store, self.now = FakeStore(), START
        self.recorder = SeriesRecorder(cast("SeriesStore", self.store), lambda: self.now)

    def record(self, one: Batch, succeeded: int, *, failed: int = 0, elapsed_ms: int = 100) -> None:
        row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"batch": one.key, "elapsed_ms": elapsed_ms}
        rows = cast("list[Row]", [tuple(row[name] for name in COLUMNS)] * (succeeded + failed))
        self.recorder.record([(one, OutcomeCounters(succeeded=succeeded, failed=failed))], rows)

    async def save(self, now: datetime) -> None:
        self.now = now
        await self.recorder.save()


def report_of(outcomes: dict[int, Any], partition: str) -> Report:
    return Report.of(processed(outcomes, partition=partition))


def report(partition: str, elapsed_ms: list[int]) -> Report:
    outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", elapsed_ms=each) for n, each in enumerate(elapsed_ms)}
    return report_of(outcomes, partition)


def growing(ended: int, total: int = 1_000_000) -> Batch:
    return batch(total=total, counters=OutcomeCounters(succeeded=ended))


async def test_items_since_the_last_step_make_one_sample() -> None:
    it = Recording()
    it.record(growing(3), 3)
    it.record(growing(5), 1, failed=1)
    await it.save(at(2))
    ((key, sample),) = it.store.batches
    assert (key, sample.from_at, sample.at) == (1, START, at(2))
    assert (sample.succeeded, sample.failed, sample.other) == (4, 1, 0)
    assert sample.durations[bucket_of(100)] == 5


async def test_items_that_end_while_a_sample_is_saved_belong_to_the_next_one() -> None:
    it = Recording()
    it.record(growing(3), 3)
    it.store.on_save = lambda: it.record(growing(4), 1)
    await it.save(at(2))
    it.store.on_save = lambda: None
    await it.save(at(4))
    spans = [(sample.from_at, sample.at, sample.succeeded) for _, sample in it.store.batches]
    assert spans == [(START, at(2), 3), (at(2), at(4), 1)]


async def test_a_batch_that_ended_at_once_has_no_sample_and_counts_for_its_owner() -> None:
    it = Recording()
    it.record(batch(total=2, counters=OutcomeCounters(succeeded=2), result="completed", finished_at=at(1)), 2)
    await it.save(at(10))
    assert it.store.batches == []
    assert [(owner, sample.succeeded) for owner, sample in it.store.owners] == [("", 2), ("ann", 2)]


async def test_the_end_of_a_longer_batch_is_not_lost() -> None:
    it = Recording()
    it.record(growing(5, total=7), 5)
    await it.save(at(2))
    it.record(batch(total=7, counters=OutcomeCounters(succeeded=7), result="completed", finished_at=at(3)), 2)
    await it.save(at(4))
    assert [sample.succeeded for _, sample in it.store.batches] == [5, 2]


async def test_samples_of_an_old_batch_cover_more_time() -> None:
    it = Recording()
    month = int(timedelta(days=30).total_seconds())
    it.now = at(month)
    await it.recorder.save()
    for second in range(0, 6 * 3600, 60):
        it.record(growing(second + 1), 1)
        await it.save(at(month + second + 60))
    assert 1 <= len(it.store.batches) <= 2, "half a per cent of a month is 3.6 hours"


async def test_the_destinations_with_most_items_have_durations_of_their_own() -> None:
    it = Recording()
    reports = [report(f"d{n}.example", [100] * 3) for n in range(10)]
    reports += [report("a.example", [400] * 6), report("", [5]), report("x" * 300, [5])]
    it.recorder.record([(growing(40), OutcomeCounters(succeeded=40))], [], reports)
    await it.save(at(2))
    ((_, sample),) = it.store.batches
    assert len(sample.destinations) == 8
    assert sample.destinations["a.example"] == {bucket_of(400): 6}
    assert next(iter(sample.destinations)) == "a.example"


async def test_items_that_did_not_run_have_no_duration_at_a_destination() -> None:
    it = Recording()
    outcomes = {0: "cancelled", 1: ItemOutcome(ordinal=1, status="succeeded", elapsed_ms=7, cached=True)}
    it.recorder.record([(growing(2), OutcomeCounters(succeeded=2))], [], [report_of(outcomes, "a.example")])
    await it.save(at(2))
    assert it.store.batches[0][1].destinations == {"a.example": {}}


async def test_samples_stay_until_the_database_is_back() -> None:
    it = Recording()
    it.record(growing(3), 3)
    it.store.is_away = True
    with pytest.raises(ConnectionError):
        await it.save(at(2))
    it.record(growing(5), 2)
    it.store.is_away = False
    await it.save(at(12))
    assert [sample.succeeded for _, sample in it.store.batches] == [5]
    assert [(owner, sample.succeeded) for owner, sample in it.store.owners] == [("", 5), ("ann", 5)]


async def test_few_samples_are_written_at_once_and_the_rest_when_it_ends() -> None:
    it = Recording()
    for key in range(MAX_SAMPLES_AT_ONCE + 7):
        it.record(batch(key=key, total=100, counters=OutcomeCounters(succeeded=1)), 1)
    await it.save(at(2))
    assert len(it.store.batches) == MAX_SAMPLES_AT_ONCE
    await it.recorder.save_rest()
    assert len(it.store.batches) == MAX_SAMPLES_AT_ONCE + 7
    assert sum(sample.succeeded for owner, sample in it.store.owners if owner == "") == MAX_SAMPLES_AT_ONCE + 7


async def test_the_durations_of_a_large_message_are_sampled() -> None:
    it = Recording()
    it.record(growing(1000), 1000)
    await it.save(at(2))
    assert 30 <= sum(it.store.batches[0][1].durations) <= 64

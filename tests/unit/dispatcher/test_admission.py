"""Admission combines the in-flight window of a workload with the limits of each batch."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, Rate, Terms
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.scheduling.admission import Admission
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue, Pick
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageRange, PageSlice
from services.dispatcher.domain.scheduling.scheduler import Scheduler

FIRST, SECOND, FREE = UUID(int=1), UUID(int=2), UUID(int=3)


def window(workers: float = 1, **settings: object) -> InFlightWindow:
    fields = {"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings
    return InFlightWindow(Manifest.model_validate(fields), workers=workers)


def limits(now: float = 0.0, *, begun: bool = False, **terms: object) -> BatchLimits:
    made = BatchLimits.of(Terms.model_validate(terms), now, None, has_started=begun)
    assert made is not None
    return made


def chunk(batch_id: UUID, count: int) -> Pick:
    return Pick(batch_id, "", "normal", PageRange(0, 0, 0, count))


def test_batch_without_limits_gets_the_largest_chunk() -> None:
    admission = Admission(window(chunk_max=70), {}, 0.0)
    assert admission.batch_limit(FREE) == 70
    assert admission.next_at is None


def test_batch_has_no_more_items_in_flight_than_its_concurrency() -> None:
    admission = Admission(window(chunk_max=70, concurrency=100), {FIRST: limits(concurrency=5)}, 0.0)
    assert admission.batch_limit(FIRST) == 5
    admission.record_pick(chunk(FREE, 9))
    admission.record_pick(chunk(FIRST, 3))
    assert admission.batch_limit(FIRST) == 2
    admission.record_pick(chunk(FIRST, 2))
    assert admission.batch_limit(FIRST) == 0
    assert admission.batch_limit(FREE) == 70
    assert admission.next_at is None, "an item has to come back first: no moment can be named"


def test_chunk_maximum_bounds_a_batch_with_a_higher_limit() -> None:
    admission = Admission(window(chunk_max=7), {FIRST: limits(concurrency=500)}, 0.0)
    assert admission.batch_limit(FIRST) == 7


def test_next_at_is_the_earliest_time_of_the_held_back_batches() -> None:
    slow, fast = limits(10.0, rate={"per_second": 0.5}), limits(10.0, rate={"per_second": 4})
    for order in ([FIRST, SECOND], [SECOND, FIRST]):
        batches: Mapping[UUID, BatchLimits] = {FIRST: slow, SECOND: fast}
        admission = Admission(window(), batches, 10.0)
        for batch_id in order:
            if admission.batch_limit(batch_id):
                admission.record_pick(chunk(batch_id, 1))
            assert admission.batch_limit(batch_id) == 0
        assert admission.next_at == 10.25
    assert Admission(window(), {FIRST: slow}, 12.0).batch_limit(FIRST) == 1


def test_picked_chunk_counts_for_the_window_and_its_own_batch_only() -> None:
    mine = window(concurrency=2, chunk_max=10, partition_concurrency=6)
    own = limits(rate={"per_second": 10, "burst": 5})
    admission = Admission(mine, {FIRST: own}, 0.0)
    assert (admission.batch_limit(FIRST), admission.partition_limit(FIRST, "x")) == (5, 6)
    admission.record_pick(Pick(FIRST, "x", "normal", PageRange(0, 0, 0, 4)))
    assert (mine.in_flight, dict(mine.in_flight_by_batch)) == (4, {FIRST: 4})
    assert own.gcra.full_at == 0.4
    assert (admission.batch_limit(FIRST), admission.partition_limit(FIRST, "x")) == (1, 2)
    admission.record_pick(Pick(SECOND, "x", "normal", PageRange(0, 0, 0, 2)))
    assert own.gcra.full_at == 0.4
    assert (admission.partition_limit(FIRST, "x"), admission.partition_limit(FIRST, "y")) == (0, 6)


def test_no_priority_is_admitted_beyond_the_window() -> None:
    mine = window(concurrency=5, chunk_max=1)
    admission = Admission(mine, {}, 0.0)
    admission.record_pick(Pick(FREE, "", "normal", PageRange(0, 0, 0, 10)))
    assert [admission.is_full(priority) for priority in PRIORITIES] == [False, True, True]


@given(
    concurrency=st.integers(1, 20),
    per_second=st.floats(0.5, 200),
    burst=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 3)), max_size=40),
)
def test_scheduler_never_exceeds_the_rate_or_concurrency_of_a_batch(
    concurrency: int, per_second: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    """Both limits hold whatever returns in between, and a batch without limits fills the window."""
    mine = window(workers=3, concurrency=40, chunk_max=50)
    own = limits(concurrency=concurrency, rate=Rate(per_second=per_second, burst=burst))
    scheduler, away, sent, now = Scheduler(), list[Pick](), Counter[UUID](), 0.0
    for batch_id in (FIRST, FREE):
        queue = BatchQueue(batch_id, "ann", "normal")
        scheduler.add_batch(queue)
        queue.partition_queue("").slices.append(PageSlice(0, 0, 100_000))
    for pause, back in steps:
        now += pause
        mine.end_backoffs(now)
        for _ in range(min(back, len(away))):
            mine.record_returned(away.pop(0))
        admission = Admission(mine, {FIRST: own}, now)
        while pick := scheduler.pick(admission):
            admission.record_pick(pick)
            away.append(pick)
            sent[pick.batch_id] += pick.source.count
        assert mine.in_flight_by_batch[FIRST] <= concurrency
        assert sent[FIRST] <= max(burst, per_second * 0.02) + per_second * now + 1e-3
        assert mine.is_full("low")

"""The in-flight window bounds the items in flight and sizes chunks."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, ItemError, Priority
from services.dispatcher.domain.scheduling.batch_queue import Pick
from services.dispatcher.domain.scheduling.chunk_sizer import INITIAL_SIZE, ChunkOutcomes, ChunkSizer
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import PageRange


def window(**settings: object) -> InFlightWindow:
    return InFlightWindow(
        Manifest.model_validate({"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings)
    )


BATCH, OTHER = UUID(int=1), UUID(int=2)


def out(count: int, partition: str = "x", batch: UUID = BATCH, priority: Priority = "normal") -> Pick:
    return Pick(batch, partition, priority, PageRange(0, 0, 0, count))


def test_nothing_is_dispatched_without_a_worker() -> None:
    assert window().is_full("immediate")


def test_window_follows_the_number_of_workers() -> None:
    one = window(concurrency=50)
    one.workers = 1
    one.record_dispatched(out(99))
    assert not one.is_full("normal")
    one.record_dispatched(out(1))
    assert one.is_full("normal")
    one.workers = 2
    assert not one.is_full("normal")
    one.record_returned(out(99))
    one.record_returned(out(1))
    assert (one.in_flight, one.limits.limiters_of("x")[0].in_flight, dict(one.in_flight_by_batch)) == (0, 0, {})


def test_higher_priority_finds_room_at_once_and_a_lower_one_the_rest() -> None:
    one = window(concurrency=50)
    one.workers = 1
    one.record_dispatched(out(100, priority="normal"))
    assert [one.is_full(p) for p in PRIORITIES] == [False, True, True]
    one.record_dispatched(out(100, priority="immediate"))
    assert [one.is_full(p) for p in PRIORITIES] == [True, True, True]
    one.record_returned(out(100, priority="normal"))
    one.record_returned(out(50, priority="immediate"))
    assert [one.is_full(p) for p in PRIORITIES] == [False, False, False]


def test_batch_of_long_items_is_not_blocked_by_short_ones() -> None:
    mixed = window(concurrency=1, chunk_max=100)
    mixed.workers = 1
    for _ in range(5):
        mixed.record_measurement(BATCH, "x", 100, 0.0)
    mixed.record_dispatched(out(200))
    assert not mixed.is_full("normal")
    mixed.record_dispatched(out(INITIAL_SIZE, batch=OTHER))
    assert mixed.is_full("normal")  # two chunks of one batch and one of the other
    mixed.record_returned(out(100))
    assert not mixed.is_full("normal")


def test_small_items_get_a_few_chunks_in_advance() -> None:
    small = window(concurrency=1, chunk_max=100)
    small.workers = 1
    assert small.max_in_flight(small.chunk_size(BATCH, "")) == 3 * INITIAL_SIZE
    small.record_dispatched(out(3 * INITIAL_SIZE, ""))
    assert small.is_full("normal")
    small.record_measurement(BATCH, "", 8, 0.0)
    assert small.max_in_flight(small.chunk_size(BATCH, "")) == 3 * 8 * INITIAL_SIZE
    assert not small.is_full("normal")  # the items in flight are few now
    assert window(chunk_max=1).chunk_size(BATCH, "") == 1


def test_whole_chunk_workload_gets_as_many_chunks_as_run_at_once() -> None:
    whole = window(concurrency=5, whole_chunks=True)
    whole.workers = 1
    assert whole.max_in_flight(20) == 2 * 5 * 20


def test_new_batch_starts_with_the_learned_size_up_to_the_concurrency() -> None:
    learned = window(concurrency=20)
    assert learned.chunk_size(OTHER, "") == INITIAL_SIZE
    learned.record_measurement(BATCH, "", 8, 0.0)
    assert learned.chunk_size(BATCH, "") == 8 * INITIAL_SIZE
    assert learned.chunk_size(OTHER, "") == 20
    learned.forget_batch(BATCH)
    assert learned.chunk_size(BATCH, "") == 20
    learned.record_measurement(BATCH, "", 8, 80.0)
    assert learned.chunk_size(OTHER, "") == 1


def test_only_named_partitions_have_a_circuit() -> None:
    error = ItemError(code="captcha", scope="provider")
    named = window(circuit={"partitions": ["live"]}, limits=[{"name": "account", "partition": {"pointer": "/account"}}])
    assert named.record_refusal("test|a", error, 1.0) is None
    assert named.record_refusal("live|a", error, 1.0) is named.limits.limiter("partition", "live")
    assert window(circuit={}).record_refusal("test", error, 1.0) is not None
    assert window().record_refusal("test", error, 1.0) is None


def test_chunk_minimum_holds_until_items_fail() -> None:
    matrix = window(chunk_min=625, chunk_max=1000, whole_chunks=True)
    assert matrix.chunk_size(BATCH, "") == 625
    for _ in range(5):
        matrix.record_measurement(BATCH, "", 625, 30.0)
    assert matrix.chunk_size(BATCH, "") == 625
    assert matrix.chunk_size(OTHER, "") == 625
    matrix.record_measurement(BATCH, "", 625, 0.1, ChunkOutcomes(failed=625, count=625, sent_at=0.0, now=1.0))
    assert matrix.chunk_size(BATCH, "") == 312
    assert window(chunk_min=50, chunk_max=20).chunk_size(BATCH, "") == 20


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(PRIORITIES), st.integers(1, 200), st.floats(0, 10), st.booleans()),
        max_size=30,
    )
)
def test_window_is_empty_when_all_items_returned_despite_new_sizes(
    steps: list[tuple[int, Priority, int, float, bool]],
) -> None:
    some = window(concurrency=3, chunk_max=100)
    some.workers = 1
    away = []
    for batch, priority, items, busy_s, back in steps:
        chunk = out(items, batch=UUID(int=batch), priority=priority)
        some.record_dispatched(chunk)
        some.record_measurement(UUID(int=batch), "x", items, busy_s)
        if back:
            some.record_returned(chunk)
        else:
            away.append(chunk)
    assert some.in_flight == sum(c.source.count for c in away)
    for chunk in away:
        some.record_returned(chunk)
    assert (some.in_flight, some._streams) == (0, {})
    assert not any(some.is_full(p) for p in PRIORITIES)


def test_partition_takes_no_more_than_its_concurrency() -> None:
    limited = window(partition_concurrency=3)
    limited.workers = 1
    assert limited.partition_limit(BATCH, "x") == 3
    limited.record_dispatched(out(2))
    assert limited.partition_limit(BATCH, "x") == 1
    limited.record_dispatched(out(1))
    assert limited.partition_limit(BATCH, "x") == 0
    assert limited.partition_limit(BATCH, "y") == 3


def test_partition_waits_for_the_end_of_its_backoff() -> None:
    parked = window()
    parked.workers = 1
    parked.back_off("x", 10.0)
    parked.back_off("x", 5.0)  # an earlier end does not shorten the backoff
    assert parked.partition_limit(BATCH, "x") == 0
    assert parked.end_backoffs(9.9) == 10.0
    assert parked.end_backoffs(10.0) is None
    assert parked.partition_limit(BATCH, "x") > 0


@pytest.mark.parametrize(("item_s", "size"), [(0.05, 20), (2.0, 1), (0.00001, 100)])
def test_chunks_grow_towards_their_target_up_to_the_cap(item_s: float, size: int) -> None:
    learned = ChunkSizer()
    for _ in range(10):
        learned = learned.with_measurement(learned.size, learned.size * item_s, target_s=1.0, cap=100)
    assert learned.size == size


def test_first_chunk_is_small_and_growth_is_bounded() -> None:
    assert ChunkSizer().size == INITIAL_SIZE
    assert ChunkSizer().with_measurement(8, 0.0001, 1.0, 10_000).size == INITIAL_SIZE * 8


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e5)), max_size=30), st.integers(1, 10_000))
def test_size_stays_between_one_and_the_cap(reports: list[tuple[int, float]], cap: int) -> None:
    learned = ChunkSizer(1)
    for items, busy_s in reports:
        learned = learned.with_measurement(items, busy_s, 1.0, cap)
        assert 1 <= learned.size <= cap


def test_notable_share_of_failures_halves_chunks_once_with_a_reason() -> None:
    learned = ChunkSizer(32).with_outcomes(ChunkOutcomes(failed=5, count=32, sent_at=1.0, now=2.0))
    assert learned.size == 16
    assert learned.reason(16, 1.0, 100) == "halved after 5 of 32 failed"
    assert learned.with_outcomes(ChunkOutcomes(failed=32, count=32, sent_at=1.5, now=3.0)) == learned, (
        "it went out before the halving"
    )
    assert learned.with_outcomes(ChunkOutcomes(failed=2, count=16, sent_at=2.5, now=4.0)).size == 8
    assert learned.with_measurement(16, 0.001, 1.0, 100).size == 16, "however quick they are"


@pytest.mark.parametrize(("failed", "of"), [(1, 8), (1, 1), (3, 32), (0, 32)])
def test_few_failures_do_not_change_the_size(failed: int, of: int) -> None:
    assert ChunkSizer(32).with_outcomes(ChunkOutcomes(failed, of, 1.0, 2.0)) == ChunkSizer(32)


def test_chunks_grow_again_without_failures_until_duration_limits_them() -> None:
    learned, sizes = ChunkSizer(64, 0.01).with_outcomes(ChunkOutcomes(64, 64, 1.0, 2.0)), []
    assert learned.with_outcomes(ChunkOutcomes(0, 64, sent_at=1.0, now=3.0)) == learned, (
        "it went out before the halving"
    )
    for at in range(3, 20):
        learned = learned.with_outcomes(ChunkOutcomes(0, learned.size, at, at + 0.5)).with_measurement(
            learned.size, learned.size / 100, 1.0, 80
        )
        sizes.append(learned.size)
        if at == 3:
            assert learned.reason(40, 1.0, 80) == "growing again after 64 of 64 failed"
    assert sizes[:5] == [40, 50, 62, 77, 80]
    assert set(sizes[4:]) == {80}
    assert learned.limit is None
    assert learned.reason(80, 1.0, 80) == "10 ms an item; the manifest's cap"


def test_window_halves_chunks_of_one_partition_of_one_batch() -> None:
    one = window(chunk_max=100)
    for batch, partition in ((BATCH, "x"), (BATCH, "y"), (OTHER, "x")):
        for _ in range(3):
            one.record_measurement(batch, partition, 8, 0.08)
    one.record_measurement(BATCH, "x", 100, 1.0, ChunkOutcomes(100, 100, 1.0, 2.0))
    assert [one.chunk_size(BATCH, "x"), one.chunk_size(BATCH, "y"), one.chunk_size(OTHER, "x")] == [50, 100, 100]


def test_partition_without_rate_is_not_asked_before_its_next_item() -> None:
    paced = window(partition={"pointer": "/host"}, rate={"per_second": 10}, chunk_max=5)
    paced.workers = 1
    paced.end_backoffs(100.0)
    paced.record_dispatched(out(5))
    assert paced.partition_limit(BATCH, "x") == 0
    again_at = paced.parked.until["x"]
    assert 100.0 < again_at < 101.0
    assert paced.partition_limit(BATCH, "y") == 5
    assert paced.end_backoffs(again_at - 0.001) == again_at
    assert paced.partition_limit(BATCH, "x") == 0
    assert paced.end_backoffs(again_at) is None
    assert paced.partition_limit(BATCH, "x") > 0


@pytest.mark.parametrize(
    "limits",
    [
        {"rate": {"per_second": 1}},
        {"partition": {"pointer": "/host"}, "limits": [{"name": "all", "rate": {"per_second": 1}}]},
    ],
    ids=["no partitions", "a limit of all partitions"],
)
def test_a_rate_of_the_whole_workload_tells_when_it_allows_the_next_item(limits: dict[str, object]) -> None:
    paced = window(**limits)
    paced.workers = 1
    assert paced.end_backoffs(100.0) is None
    paced.record_dispatched(out(1, ""))
    assert paced.is_full("normal")
    again_at = paced.end_backoffs(100.0)
    assert again_at is not None
    assert 100.0 < again_at < 102.0
    assert paced.end_backoffs(again_at) is None
    assert not paced.is_full("normal")


def test_partition_at_its_concurrency_is_asked_when_an_item_returns() -> None:
    full = window(partition_concurrency=2)
    full.workers = 1
    full.record_dispatched(out(2))
    assert (full.partition_limit(BATCH, "x"), full.parked.until, "x" in full.parked) == (0, {}, True)
    full.record_returned(out(1))
    assert full.parked.take_unparked() == ["x"]
    assert full.partition_limit(BATCH, "x") == 1


@pytest.mark.parametrize(("workers", "share"), [(0, 1.0), (0.5, 1.0), (1, 1.0), (4, 0.25)])
def test_chunk_rates_name_the_rates_and_the_share_of_a_worker(workers: float, share: float) -> None:
    paced = window(partition={"pointer": "/host"}, rates={"a": {"per_second": 10, "burst": 3}})
    paced.workers = workers
    terms = paced.chunk_rates("a")
    assert terms is not None
    assert ([key.key for key in terms.keys], terms.share) == (["partition:a"], share)
    assert paced.chunk_rates("b") is None


def test_rate_change_lets_its_own_partition_be_asked_again() -> None:
    adapts = window(partition={"pointer": "/host"}, adaptive={"floor": 5, "ceiling": 50, "start": 10})
    assert adapts.is_adaptive("x")
    adapts.wall_clock_offset_s = 1000.0
    adapts.parked.park("x", 99.0)
    adapts.parked.park("y", 99.0)
    assert adapts.record_feedback("x", DestinationFeedback(answered=1), 0.0, 0.01) == []
    assert adapts.parked.until == {"x": 99.0, "y": 99.0}
    ((limiter, change),) = adapts.record_feedback("x", DestinationFeedback(answered=9, rate_limited=1), 0.0, 1.0)
    assert limiter is adapts.limits.limiter("partition", "x")
    assert (change.before, change.after, limiter.version) == (10, 6, 1_001_000)
    assert (adapts.parked.until, adapts.parked.take_unparked()) == ({"y": 99.0}, ["x"])
    assert not window(rate={"per_second": 10}).is_adaptive("x")


def test_only_the_answer_to_the_probe_closes_a_circuit() -> None:
    one = window(circuit={"base_s": 5}, limits=[{"name": "account", "partition": {"pointer": "/account"}}])
    one.workers = 1
    assert one.record_success("live|a") is None, "it is closed"
    opened = one.record_refusal("live|a", ItemError(code="captcha", scope="provider"), 1.0)
    assert opened is one.limits.limiter("partition", "live")
    assert one.record_refusal("live|b", ItemError(code="captcha", scope="provider"), 1.1) is None, "it is open already"
    one.end_backoffs(1.2)
    assert one.partition_limit(BATCH, "live|a") == 0
    assert one.record_success("live|a") is None, "an item that went out before says nothing"
    one.end_backoffs(6.0)
    assert one.partition_limit(BATCH, "live|a") == 1
    one.record_dispatched(out(1, "live|a"))
    one.parked.park("live|b", 99.0)
    assert one.record_success("live|b") is opened
    assert len(one.parked) == 0
    assert one.partition_limit(BATCH, "live|a") == INITIAL_SIZE


def test_chunk_sizes_of_a_batch_are_kept_for_the_partitions_measured_last() -> None:
    one = window(chunk_max=100, concurrency=8)
    for number in range(3000):
        one.record_measurement(BATCH, f"host{number}", 8, 0.08)
    assert len(one.sizes[BATCH]) == 1000
    assert "host2999" in one.sizes[BATCH]


def test_backoff_of_a_destination_holds_all_its_partitions() -> None:
    one = window(limits=[{"name": "account", "partition": {"pointer": "/account"}}])
    one.workers = 1
    one.back_off("live|a", 10.0, "asked to")
    assert [one.partition_limit(BATCH, partition) for partition in ("live|a", "live|b", "test|a")] == [
        0,
        0,
        INITIAL_SIZE,
    ]
    assert one.parked.until == {"live|a": 10.0, "live|b": 10.0}


def test_new_manifest_applies_to_waiting_items() -> None:
    one = window(partition={"pointer": "/host"}, rate={"per_second": 1}, chunk_max=50)
    one.workers = 1
    one.record_dispatched(out(1))
    assert one.partition_limit(BATCH, "x") == 0
    one.set_manifest(window(partition={"pointer": "/host"}, chunk_max=4).manifest)
    assert one.partition_limit(BATCH, "x") == 4

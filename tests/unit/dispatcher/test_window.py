"""How much may be out, and how large a chunk is."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.chunk_size import START, ChunkSize
from services.dispatcher.domain.window import Window


def window(**settings: object) -> Window:
    return Window(
        Manifest.model_validate({"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings)
    )


BATCH, OTHER = UUID(int=1), UUID(int=2)


def test_nothing_goes_out_without_a_worker() -> None:
    assert window().allowed(BATCH, "x") == 0


def test_the_window_follows_the_workers() -> None:
    one = window(concurrency=50)
    one.workers = 1
    one.given("x", 99)
    assert one.allowed(BATCH, "x") == START
    one.given("x", 1)
    assert one.allowed(BATCH, "x") == 0
    one.workers = 2
    assert one.allowed(BATCH, "x") == START
    one.returned("x", 100)
    assert (one.out, dict(one.out_by_partition)) == (0, {})


def test_small_items_get_a_few_chunks_ahead_of_their_present_size() -> None:
    small = window(concurrency=1, chunk_max=100)
    small.workers = 1
    assert small.limit(small.size(BATCH, "")) == 3 * START
    small.measured(BATCH, "", 8, 0.0)
    assert small.limit(small.size(BATCH, "")) == 3 * 8 * START
    assert window(chunk_max=1).size(BATCH, "") == 1


def test_what_is_learned_of_one_batch_is_not_believed_of_another() -> None:
    learned = window()
    learned.measured(BATCH, "", 8, 0.0)
    assert learned.size(BATCH, "") > learned.size(OTHER, "") == START
    learned.forget(BATCH)
    assert learned.size(BATCH, "") == START


@given(
    out=st.integers(0, 500),
    learned=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 200), st.floats(0, 10)), max_size=10),
    forgotten=st.integers(0, 3),
)
def test_a_full_window_has_room_for_no_partition_of_any_batch(
    out: int, learned: list[tuple[int, int, float]], forgotten: int
) -> None:
    some = window(concurrency=3, chunk_max=100)
    some.workers = 1
    for batch, items, busy_s in learned:
        some.measured(UUID(int=batch), "x", items, busy_s)
    some.forget(UUID(int=forgotten))
    some.given("x", out)
    if some.full:
        assert not any(some.allowed(UUID(int=batch), p) for batch in range(5) for p in ("x", "y"))
    some.returned("x", out)
    assert not some.full


def test_a_partition_takes_no_more_than_its_concurrency() -> None:
    limited = window(partition_concurrency=3)
    limited.workers = 1
    assert limited.allowed(BATCH, "x") == 3
    limited.given("x", 2)
    assert limited.allowed(BATCH, "x") == 1
    limited.given("x", 1)
    assert limited.allowed(BATCH, "x") == 0
    assert limited.allowed(BATCH, "y") == 3


def test_a_parked_partition_waits_for_its_time() -> None:
    parked = window()
    parked.workers = 1
    parked.park("x", 10.0)
    parked.park("x", 5.0)  # an earlier time does not shorten the wait
    assert parked.allowed(BATCH, "x") == 0
    assert parked.unpark(9.9) == 10.0
    assert parked.unpark(10.0) is None
    assert parked.allowed(BATCH, "x") > 0


@pytest.mark.parametrize(("item_s", "size"), [(0.05, 20), (2.0, 1), (0.00001, 100)])
def test_chunks_grow_towards_their_target_within_the_cap(item_s: float, size: int) -> None:
    learned = ChunkSize()
    for _ in range(10):
        learned = learned.measured(learned.size, learned.size * item_s, target_s=1.0, cap=100)
    assert learned.size == size


def test_the_first_chunk_is_small_and_growth_is_bounded() -> None:
    assert ChunkSize().size == START
    assert ChunkSize().measured(8, 0.0001, 1.0, 10_000).size == START * 8


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e5)), max_size=30), st.integers(1, 10_000))
def test_a_size_is_never_below_one_nor_above_the_cap(reports: list[tuple[int, float]], cap: int) -> None:
    learned = ChunkSize(1)
    for items, busy_s in reports:
        learned = learned.measured(items, busy_s, 1.0, cap)
        assert 1 <= learned.size <= cap

"""The page tracker lets each page segment into its queue once, in whatever order headers and pages come."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.scheduler import Slice
from services.dispatcher.intake.page_tracker import Arrivals

BATCH, OTHER = UUID(int=1), UUID(int=2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.integers(0, 12))
def test_each_segment_is_let_in_once_wherever_the_header_comes_and_whatever_is_redelivered(
    places: list[tuple[int, int]], header_at: int
) -> None:
    tracker, queued = Arrivals(), list[tuple[int, int]]()
    for number, (page, segment) in enumerate([*places, *places]):
        if number == min(header_at, len(places)):
            early = tracker.of(BATCH) or {}
            tracker.joined(BATCH, early)
            queued += early
        slice_ = Slice(page, segment, 10)
        if number < min(header_at, len(places)):
            tracker.early(BATCH, "x", slice_)
        elif tracker.is_new(BATCH, slice_):
            queued.append((page, segment))
    assert sorted(queued) == sorted(set(places))


@pytest.mark.parametrize(
    ("slices", "total", "whole"),
    [
        ([Slice(0, 0, 3), Slice(0, 1, 2)], 5, True),
        ([Slice(0, 0, 3)], 5, False),
        ([Slice(0, 0, 3), Slice(0, 1, 2)], None, False),
        ([Slice(0, 0, 3), Slice(0, 1, 2, taken=1)], 5, False),
        ([], 0, False),
    ],
    ids=["all of it", "a part", "not sealed", "some went out", "nothing"],
)
def test_only_a_batch_that_is_here_in_whole_needs_no_look_at_the_table(
    slices: list[Slice], total: int | None, whole: bool
) -> None:
    tracker = Arrivals()
    for slice_ in slices:
        tracker.early(BATCH, "x", slice_)
    found = tracker.whole(BATCH, total)
    assert (found is not None) is whole
    assert not whole or found == {(s.page, s.segment): ("x", s) for s in slices}


def test_of_a_thousand_batches_without_a_header_the_one_heard_of_longest_ago_is_forgotten() -> None:
    tracker = Arrivals()
    for number in range(1000):
        tracker.early(UUID(int=number), "x", Slice(0, 0, 1))
    tracker.expect(UUID(int=0))
    tracker.early(UUID(int=5000), "x", Slice(0, 0, 1))
    assert tracker.of(UUID(int=0)) == {(0, 0): ("x", Slice(0, 0, 1))}
    assert tracker.of(UUID(int=1)) is None


def test_a_batch_that_is_expected_has_nothing_early_and_one_that_left_is_not_remembered() -> None:
    tracker = Arrivals()
    tracker.expect(BATCH)
    assert tracker.of(BATCH) == {}
    assert tracker.of(OTHER) is None
    tracker.joined(BATCH, [(0, 0)])
    assert not tracker.is_new(BATCH, Slice(0, 0, 1))
    tracker.leave(BATCH)
    assert tracker.is_new(BATCH, Slice(0, 0, 1))

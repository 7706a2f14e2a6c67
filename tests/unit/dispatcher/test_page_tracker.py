"""The page tracker queues each page segment once, in any order of headers and pages."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.page_tracker import PageTracker
from services.dispatcher.domain.scheduling.scheduler import PageSlice

BATCH, OTHER = UUID(int=1), UUID(int=2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.integers(0, 12))
def test_each_segment_is_queued_once_in_any_order_and_after_redelivery(
    places: list[tuple[int, int]], header_at: int
) -> None:
    tracker, queued = PageTracker(), list[tuple[int, int]]()
    for number, (page, segment) in enumerate([*places, *places]):
        if number == min(header_at, len(places)):
            early = tracker.early_slices(BATCH) or {}
            tracker.start_batch(BATCH, early)
            queued += early
        slice_ = PageSlice(page, segment, 10)
        if number < min(header_at, len(places)):
            tracker.add_early(BATCH, "x", slice_)
        elif tracker.add_segment(BATCH, slice_):
            queued.append((page, segment))
    assert sorted(queued) == sorted(set(places))


@pytest.mark.parametrize(
    ("slices", "total", "whole"),
    [
        ([PageSlice(0, 0, 3), PageSlice(0, 1, 2)], 5, True),
        ([PageSlice(0, 0, 3)], 5, False),
        ([PageSlice(0, 0, 3), PageSlice(0, 1, 2)], None, False),
        ([PageSlice(0, 0, 3), PageSlice(0, 1, 2, taken=1)], 5, False),
        ([], 0, False),
    ],
    ids=["all of it", "a part", "not sealed", "some went out", "nothing"],
)
def test_only_a_complete_batch_needs_no_read_of_the_table(
    slices: list[PageSlice], total: int | None, whole: bool
) -> None:
    tracker = PageTracker()
    for slice_ in slices:
        tracker.add_early(BATCH, "x", slice_)
    found = tracker.complete_slices(BATCH, total)
    assert (found is not None) is whole
    assert not whole or found == {(s.page, s.segment): ("x", s) for s in slices}


def test_least_recent_early_batch_is_forgotten_above_one_thousand() -> None:
    tracker = PageTracker()
    for number in range(1000):
        tracker.add_early(UUID(int=number), "x", PageSlice(0, 0, 1))
    tracker.expect(UUID(int=0))
    tracker.add_early(UUID(int=5000), "x", PageSlice(0, 0, 1))
    assert tracker.early_slices(UUID(int=0)) == {(0, 0): ("x", PageSlice(0, 0, 1))}
    assert tracker.early_slices(UUID(int=1)) is None


def test_expected_batch_has_no_early_slices_and_removed_batch_is_forgotten() -> None:
    tracker = PageTracker()
    tracker.expect(BATCH)
    assert tracker.early_slices(BATCH) == {}
    assert tracker.early_slices(OTHER) is None
    tracker.start_batch(BATCH, [(0, 0)])
    assert not tracker.add_segment(BATCH, PageSlice(0, 0, 1))
    tracker.remove_batch(BATCH)
    assert tracker.add_segment(BATCH, PageSlice(0, 0, 1))

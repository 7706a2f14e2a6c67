"""Page segments that arrive before their batch header save a read of the table if they are complete."""

from uuid import UUID

import pytest

from services.dispatcher.domain.scheduling.early_pages import EarlyPages
from services.dispatcher.domain.scheduling.partition_queue import PageSlice

BATCH, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("slices", "total", "is_complete"),
    [
        ([PageSlice(0, 0, 3), PageSlice(0, 1, 2)], 5, True),
        ([PageSlice(0, 0, 3)], 5, False),
        ([PageSlice(0, 0, 3)], None, False),
        ([], 0, False),
    ],
    ids=["all of it", "a part", "not sealed", "nothing"],
)
def test_only_a_complete_batch_needs_no_read_of_the_table(
    slices: list[PageSlice], total: int | None, is_complete: bool
) -> None:
    early = EarlyPages()
    for slice_ in slices:
        early.add(BATCH, "x", slice_)
    assert early.take(BATCH, total) == ([("x", s) for s in slices] if is_complete else None)
    assert early.take(BATCH, total) is None, "they are forgotten"


def test_early_pages_of_all_batches_together_are_bounded() -> None:
    early = EarlyPages(max_slices=10)
    for number in range(8):
        early.add(OTHER, "x", PageSlice(0, number, 1))
    for number in range(4):
        early.add(BATCH, "x", PageSlice(0, number, 1))
    assert early.take(OTHER, 8) is None, "the oldest are forgotten"
    assert len(early.take(BATCH, 4) or ()) == 4
    for number in range(11):
        early.add(BATCH, "x", PageSlice(0, number, 1))
    assert early.take(BATCH, 11) is None, "one batch alone is too large"

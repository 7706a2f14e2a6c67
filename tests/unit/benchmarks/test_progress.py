"""From ends of items and frames to delays."""

import pytest

from benchmarks.numbers.progress import delays


def test_each_item_waits_for_the_first_frame_that_counts_it() -> None:
    seen = [(10.0, 0), (11.5, 1), (13.0, 3), (14.0, 3)]
    assert delays([11.0, 12.0, 12.75], seen) == [0.5, 1.0, 0.25]


def test_items_may_be_named_in_any_order() -> None:
    assert delays([12.0, 11.0], [(11.5, 1), (12.25, 2)]) == [0.5, 0.25]


def test_an_item_that_no_frame_counts_is_an_error() -> None:
    with pytest.raises(ValueError, match="No frame counts 2"):
        delays([1.0, 2.0], [(3.0, 1)])


def test_a_frame_that_counts_what_has_not_ended_is_an_error() -> None:
    with pytest.raises(ValueError, match="before they had ended"):
        delays([1.0, 2.0], [(1.5, 2)])

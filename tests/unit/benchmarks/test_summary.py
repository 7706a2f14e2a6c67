"""Summaries of samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.summary import Summary, percentile

_SAMPLES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


def test_middle_ends_and_worst_hundredth() -> None:
    found = Summary.of([float(n) for n in range(1, 201)])
    assert found == Summary(200, 100.5, 1.0, 200.0, 198.0)


def test_one_sample_is_everything() -> None:
    assert Summary.of([7.0]) == Summary(1, 7.0, 7.0, 7.0, 7.0)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Summary.of([])


@given(_SAMPLES, st.floats(0.01, 1.0))
def test_a_percentile_is_the_smallest_sample_that_enough_do_not_exceed(samples: list[float], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= share * len(samples) - 1e-9
    assert sum(sample < found for sample in samples) < share * len(samples) + 1e-9


def test_a_document_keeps_four_digits() -> None:
    document = Summary.of([0.123456, 123456.7]).document()
    assert document == {"samples": 2, "median": 61728, "min": 0.1235, "max": 123457, "p99": 123457}

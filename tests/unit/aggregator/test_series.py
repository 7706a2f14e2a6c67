"""Points of a chart are made of samples without losing or adding an item."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.series import MAX_BUCKET, Sample, bucket_of, duration_of, points_of
from tests.support.ledger_messages import START, at


@given(st.integers(min_value=1, max_value=2**31 - 1))
def test_a_duration_is_known_within_ten_percent(duration_ms: int) -> None:
    assert duration_of(bucket_of(duration_ms)) == pytest.approx(duration_ms, rel=0.1)


def test_durations_at_the_edges_have_a_bucket() -> None:
    assert (bucket_of(0), bucket_of(1), bucket_of(2**40)) == (0, 1, MAX_BUCKET)


def test_a_sample_is_shared_out_over_the_steps_that_it_covers() -> None:
    sample = Sample(at(5), at(25), succeeded=20, failed=4, other=0, durations=[])
    points = points_of([sample], START, at(30), 3)
    assert [round(point.succeeded * 10) for point in points] == [5, 10, 5]
    assert [round(point.failed * 10, 6) for point in points] == [1, 2, 1]
    assert [point.at for point in points] == [START, at(10), at(20)]


def test_an_idle_time_has_points_without_durations() -> None:
    points = points_of([Sample(at(0), at(10), 10, 0, 0, [0, 1])], START, at(30), 3)
    assert [(point.succeeded, point.p50_ms) for point in points] == [(1.0, 1.1), (0.0, None), (0.0, None)]


def test_percentiles_come_from_all_samples_of_a_step() -> None:
    fast, slow = bucket_of(100), bucket_of(2000)
    samples = [
        Sample(at(0), at(5), 90, 0, 0, [0] * fast + [90]),
        Sample(at(5), at(10), 10, 0, 0, [0] * slow + [10]),
    ]
    (point,) = points_of(samples, START, at(10), 1)
    assert point.p50_ms == pytest.approx(100, rel=0.1)
    assert point.p95_ms == pytest.approx(2000, rel=0.1)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 100), st.integers(0, 1000)), min_size=1, max_size=20),
    st.integers(1, 50),
)
def test_no_item_is_lost_or_added(spans: list[tuple[int, int, int]], count: int) -> None:
    samples = [Sample(at(start), at(start + length), number, 0, 0, []) for start, length, number in spans]
    points = points_of(samples, START, at(1001), count)
    step_s = 1001 / count
    assert sum(point.succeeded for point in points) * step_s == pytest.approx(sum(number for _, _, number in spans))


def test_a_span_without_length_has_no_points() -> None:
    assert points_of([], START, START, 5) == []
    assert points_of([], START, START - timedelta(seconds=1), 5) == []

"""The throughput estimate tells rejected clients how long to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.throughput import Throughput


def steady(per_s: float, seconds: int) -> Throughput:
    made = Throughput()
    for _ in range(seconds):
        made.record(round(per_s), 1.0)
    return made


def test_without_a_known_throughput_the_wait_is_half_a_minute() -> None:
    assert Throughput().wait_s(1) == 30.0
    assert Throughput().wait_s(1_000_000) == 30.0


@pytest.mark.parametrize(
    ("items", "wait_s"), [(1, 1.0), (100, 1.0), (101, 2.0), (950, 10.0), (30_000, 300.0), (10**9, 300.0)]
)
def test_the_wait_is_in_whole_seconds_from_one_to_three_hundred(items: int, wait_s: float) -> None:
    made = Throughput()
    made.per_s = 100.0
    assert made.wait_s(items) == wait_s


def test_a_steady_throughput_is_learned_within_a_minute() -> None:
    assert steady(50, 60).per_s == pytest.approx(47.5, abs=0.1)
    assert steady(50, 200).per_s == pytest.approx(50, abs=0.1)


def test_after_twenty_seconds_without_an_end_about_a_third_is_left() -> None:
    made = Throughput()
    made.per_s = 100.0
    made.record(0, 20.0)
    assert made.per_s == pytest.approx(36.8, abs=0.1)


def test_a_measurement_over_no_time_changes_nothing() -> None:
    made = Throughput()
    made.record(5, 0.0)
    made.record(5, -1.0)
    assert made.per_s == 0.0


@given(st.integers(1, 100_000), st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_a_steady_throughput_is_the_same_at_any_interval_of_measurement(per_s: int, pieces: list[int]) -> None:
    many, one = Throughput(), Throughput()
    for seconds in pieces:
        many.record(per_s * seconds, float(seconds))
    one.record(per_s * sum(pieces), float(sum(pieces)))
    assert many.per_s == pytest.approx(one.per_s)
    assert 0 < many.per_s <= per_s * (1 + 1e-9)

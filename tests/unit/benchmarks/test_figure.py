"""Figures and their targets."""

import pytest

from benchmarks.figure import Figure, Statistic, Target
from benchmarks.summary import Summary

_SUMMARY = Summary.of([1.0, 2.0, 9.0])


@pytest.mark.parametrize(
    ("statistic", "below", "met"),
    [("median", 2.5, True), ("median", 2.0, False), ("p99", 9.5, True), ("p99", 9.0, False), ("high", 3.0, False)],
)
def test_a_target_is_met_strictly_below_it(statistic: Statistic, below: float, met: bool) -> None:
    figure = Figure("name", "title", "s", _SUMMARY, Target(statistic, below))
    assert figure.met is met
    assert figure.document()["target"]["met"] is met


def test_a_figure_without_a_target_is_neither() -> None:
    figure = Figure("name", "title", "s", _SUMMARY)
    assert figure.met is None
    assert figure.document()["target"] is None


def test_a_target_reads_as_people_say_it() -> None:
    assert Target("high", 1500).text("MB") == "max < 1,500 MB"

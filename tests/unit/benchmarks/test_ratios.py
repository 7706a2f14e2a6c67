"""Rates against each other."""

from benchmarks.ratios import RATIOS, Ratio
from benchmarks.summary import Summary


def test_a_ratio_is_that_of_the_medians() -> None:
    rates = {"one": Summary.of([10.0, 30.0, 50.0]), "other": Summary.of([3.0])}
    assert Ratio("", "one", "other", 2).of(rates) == 10.0


def test_what_was_not_measured_has_no_ratio() -> None:
    assert Ratio("", "one", "other", 2).of({"one": Summary.of([1.0])}) is None


def test_every_ratio_is_about_batchyard() -> None:
    assert all(ratio.one.startswith("batchyard_") and not ratio.other.startswith("batchyard_") for ratio in RATIOS)

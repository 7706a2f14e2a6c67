"""Processor time for each item."""

from benchmarks.costs import costs, dearest
from benchmarks.work import Run, Work

_WORK = Work("square", 1000)


def test_the_cost_of_an_item_is_the_median_of_the_runs() -> None:
    runs = [Run(1, 0, 0, cpu_s={"worker": s, "postgres": 0.001}) for s in (0.01, 0.03, 0.5)]
    assert costs(_WORK, runs) == {"worker": 30.0, "postgres": 1.0, "all": 31.0}


def test_a_role_that_was_not_there_in_a_run_took_nothing() -> None:
    runs = [Run(1, 0, 0, cpu_s={"worker": 0.01}), Run(1, 0, 0, cpu_s={"worker": 0.01, "redis": 0.002})]
    assert costs(_WORK, runs)["redis"] == 1.0


def test_the_dearest_comes_first_and_the_sum_is_left_out() -> None:
    assert dearest({"a": 1.0, "b": 3.0, "all": 4.0}) == [("b", 3.0), ("a", 1.0)]

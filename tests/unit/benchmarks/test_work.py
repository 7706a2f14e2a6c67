"""The check that every run has to pass."""

import pytest

from benchmarks.work import Run, Work, WrongResults, check

_WORK = Work("square", 10)


def test_the_sum_is_that_of_the_squares() -> None:
    assert [Work("square", n).sum for n in (0, 1, 2, 10, 1000)] == [
        sum(i * i for i in range(n)) for n in (0, 1, 2, 10, 1000)
    ]


def test_a_run_with_every_right_result_counts() -> None:
    run = Run(1.0, 10, 285)
    assert check(_WORK, run) is run


@pytest.mark.parametrize(("count", "total"), [(9, 285), (11, 285), (10, 284)])
def test_a_run_that_lost_doubled_or_mixed_up_results_does_not_count(count: int, total: int) -> None:
    with pytest.raises(WrongResults, match="have to give 10 results with the sum 285"):
        check(_WORK, Run(1.0, count, total))

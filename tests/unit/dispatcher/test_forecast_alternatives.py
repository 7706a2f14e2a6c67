"""Changes that are tried for a batch which would end too late."""

import numpy as np
import pytest

from batchyard_contracts.v1.values import MAX_CONCURRENCY, MAX_PER_SECOND
from services.dispatcher.domain.forecasting.alternatives import variants_of
from services.dispatcher.domain.forecasting.load import BatchLoad, LimitLoad, WorkloadLoad
from services.dispatcher.domain.forecasting.simulation import BatchEnd

SECONDS = np.array([100.0])


def values_of(limit: LimitLoad, lacking: float) -> list[float]:
    load = WorkloadLoad(10, (BatchLoad("o"),), (), (limit,))
    return [one.alternative.value for one in variants_of(load, BatchEnd(SECONDS, 0, (limit.code, "")), lacking)]


def test_wider_limits_are_tried_in_proportion_to_what_is_lacking() -> None:
    assert values_of(LimitLoad("rate_limit", "", 2.0), 3.0) == [6.6, 9.4, 19.0]
    assert values_of(LimitLoad("concurrency_limit", "", None, 2), 3.0) == [7, 10, 18]


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (LimitLoad("rate_limit", "", MAX_PER_SECOND / 2), MAX_PER_SECOND),
        (LimitLoad("concurrency_limit", "", None, MAX_CONCURRENCY / 2), MAX_CONCURRENCY),
    ],
)
def test_no_limit_is_named_that_nobody_can_set(limit: LimitLoad, most: float) -> None:
    assert set(values_of(limit, 1e6)) == {most}


def test_a_limit_that_is_as_wide_as_can_be_is_not_named() -> None:
    assert values_of(LimitLoad("rate_limit", "", MAX_PER_SECOND), 1e6) == []
    assert values_of(LimitLoad("concurrency_limit", "", None, MAX_CONCURRENCY), 1e6) == []

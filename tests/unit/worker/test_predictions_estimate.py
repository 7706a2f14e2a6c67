"""The embedded estimator: the formulas by a worked example, their edges, and what holds for every project."""

import datetime as dt
import json
import math
import random
from itertools import accumulate
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.worker.workloads.predictions import workload
from services.worker.workloads.predictions.earned_value import durations, earned_schedule, final_costs, indices_of
from services.worker.workloads.predictions.estimator import estimate
from services.worker.workloads.predictions.model import Prediction, Project
from services.worker.workloads.predictions.periods import LAST, date_after

PLAN = [10, 25, 45, 70, 90, 100]
START = dt.date(2026, 1, 1)


def project(**fields: Any) -> Project:
    given_ = {"project": "p", "start": START, "planned_value": PLAN, "earned_value": [50], "actual_cost": [60]}
    return Project.model_validate({**given_, "elapsed": 4, **fields})


def test_the_worked_example_has_its_published_results() -> None:
    example = project(estimate_to_complete=45)
    indices = indices_of(example)
    defined = {name: value for name, value in indices.model_dump().items() if isinstance(value, float)}
    assert defined == pytest.approx(
        {
            "percent_complete": 50,
            "cost_variance": -10,
            "schedule_variance": -20,
            "cpi": 5 / 6,
            "spi": 5 / 7,
            "earned_schedule": 3.2,
            "schedule_variance_time": -0.8,
            "spi_time": 0.8,
            "tcpi_budget": 1.25,
            "tspi": 1.4,
        }
    )
    assert final_costs(example, indices) == pytest.approx(
        {"one_off": 110, "cpi": 120, "cpi_spi": 144, "own_estimate": 105}
    )
    assert durations(example, indices)["spi_time"] == pytest.approx(7.5)
    made = estimate(example)
    assert made.final_cost is not None
    assert made.completion_date is not None
    assert made.risk is not None
    assert (made.final_cost.value, made.final_cost.lowest, made.final_cost.highest) == pytest.approx((120, 105, 144))
    assert made.completion_date.value == dt.date(2026, 8, 17)  # seven months and half of August, rounded up
    assert made.status_date == dt.date(2026, 5, 1)
    assert (made.risk.level, made.final_cost.range_level) == ("high", None)


@pytest.mark.parametrize(
    ("earned", "schedule"), [(0, 0), (5, 0.5), (10, 1), (45, 3), (57.5, 3.5), (99.9, 5.99), (100, 6)]
)
def test_earned_schedule_is_the_planned_time_of_what_is_earned(earned: float, schedule: float) -> None:
    assert earned_schedule(PLAN, earned) == pytest.approx(schedule)


def test_a_plan_that_stands_still() -> None:
    assert earned_schedule([0, 10, 10, 10, 20], 10) == 4
    assert earned_schedule([0, 10, 10, 10, 20], 9) == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("fields", "cost", "risk"),
    [
        ({"earned_value": [0], "actual_cost": [0], "elapsed": 0.2}, None, "unknown"),
        ({"earned_value": [0], "actual_cost": [1], "elapsed": 0.2}, None, "unknown"),
        ({"earned_value": [0], "actual_cost": [10]}, None, "high"),
        ({"earned_value": [50], "actual_cost": [0]}, None, "high"),
        ({"earned_value": [50], "actual_cost": [120]}, 240, "high"),
        ({"earned_value": [80], "actual_cost": [80], "elapsed": 8}, 100, "high"),
        ({"earned_value": [70], "actual_cost": [70]}, 100, "low"),
        ({"earned_value": [70], "actual_cost": [72]}, 72 / 0.7, "medium"),
        ({"earned_value": [100], "actual_cost": [130], "elapsed": 9}, 130, "low"),
    ],
)
def test_projects_at_their_start_and_end_have_predictions(
    fields: dict[str, Any], cost: float | None, risk: str
) -> None:
    made = estimate(project(**fields))
    assert made.final_cost is not None
    assert made.risk is not None
    assert made.final_cost.value == (cost if cost is None else pytest.approx(cost))
    assert made.risk.level == risk
    assert made.risk.reasons


def test_a_history_gives_a_level_and_its_lack_does_not() -> None:
    steady = project(earned_value=[10, 25, 45, 70, 90], actual_cost=[11, 27, 50, 76, 97], elapsed=None)
    made = estimate(steady)
    assert made.final_cost is not None
    assert (made.final_cost.range_level, made.final_cost.confidence) == (0.9, "high")
    idle = estimate(project(earned_value=[10, 25, 25, 40, 60], actual_cost=[11, 27, 30, 50, 70], elapsed=None))
    assert idle.final_cost is not None
    assert (idle.final_cost.range_level, idle.final_cost.confidence) == (None, "medium")


def test_when_the_work_was_done() -> None:
    made = estimate(project(earned_value=[50, 100, 100], actual_cost=[40, 90, 95], elapsed=None))
    assert made.completion_date is not None
    assert (made.completion_date.value, made.completion_date.method) == (dt.date(2026, 3, 1), "complete")


def test_the_range_holds_as_often_as_it_says() -> None:
    """Projects whose periods scatter as the method takes them to: what is said at half time, and what comes."""
    rng, held, runs = random.Random(7), 0, 400
    plan = [float(n) for n in range(1, 17)]
    for _ in range(runs):
        costs = list(accumulate(1 / math.exp(rng.gauss(-0.05, 0.2)) for _ in plan))
        made = estimate(
            project(planned_value=plan, earned_value=plan[:8], actual_cost=costs[:8], elapsed=None)
        ).final_cost
        assert made is not None
        assert made.lowest is not None
        assert made.highest is not None
        held += made.lowest <= costs[-1] <= made.highest
    assert held / runs >= 0.85


amounts = st.floats(0, 1e12, allow_nan=False)
series = st.lists(amounts, min_size=1, max_size=30).map(sorted)


@given(
    plan=series.filter(lambda s: s[-1] > 1e-3), earned=st.lists(st.floats(0, 1), min_size=1, max_size=30), costs=series
)
def test_the_prediction_of_any_project_is_consistent(
    plan: list[float], earned: list[float], costs: list[float]
) -> None:
    count = min(len(earned), len(costs))
    made = estimate(
        project(
            planned_value=plan,
            earned_value=[e * plan[-1] for e in earned[:count]],
            actual_cost=costs[:count],
            elapsed=None,
        )
    )
    written = json.loads(made.model_dump_json())
    assert jsonschema_rs.validator_for(workload.manifest.result_schema).is_valid(written)
    assert Prediction.model_validate(written).project == "p"
    date, cost = made.completion_date, made.final_cost
    assert date is not None
    assert cost is not None
    if date.value is not None:
        assert date.earliest is not None
        assert date.latest is not None
        assert date.earliest <= date.value <= date.latest
        assert set(date.by_method.values()) <= {d for d in date.by_method.values() if date.earliest <= d <= date.latest}
        assert date.earliest >= made.status_date or date.method == "complete"
    if cost.value is not None:
        assert cost.lowest is not None
        assert cost.highest is not None
        assert costs[count - 1] * (1 - 1e-9) <= cost.lowest <= cost.value * (1 + 1e-9)
        assert cost.value <= cost.highest * (1 + 1e-9)


@given(st.floats(0, 1000), st.floats(0, 1000), st.sampled_from(["day", "week", "month"]))
def test_later_is_never_earlier(one: float, other: float, unit: Any) -> None:
    early, late = sorted((one, other))
    assert date_after(START, early, unit) <= date_after(START, late, unit)


@pytest.mark.parametrize(
    ("start", "periods", "unit", "day"),
    [
        (dt.date(2026, 1, 31), 1, "month", dt.date(2026, 2, 28)),
        (dt.date(2026, 1, 31), 2, "month", dt.date(2026, 3, 31)),
        (dt.date(2026, 2, 1), 0.5, "month", dt.date(2026, 2, 15)),
        (START, 1.5, "week", dt.date(2026, 1, 12)),
        (START, math.inf, "day", LAST),
        (START, 2_999_999, "week", LAST),
        (START, 2_999_999, "month", LAST),
    ],
)
def test_periods_become_dates_of_the_calendar(start: dt.date, periods: float, unit: Any, day: dt.date) -> None:
    assert date_after(start, periods, unit) == day


@pytest.mark.parametrize(
    "fields",
    [
        {"planned_value": [10, 5]},
        {"planned_value": [0]},
        {"planned_value": []},
        {"actual_cost": [-1]},
        {"earned_value": [101]},
        {"earned_value": [1, 2], "actual_cost": [1]},
        {"earned_value": [1, 2, 3], "actual_cost": [1, 2, 3], "elapsed": 9},
        {"predict": []},
        {"predict": ["weather"]},
        {"start": "1000-01-01"},
        {"actual_cost": [1e16]},
    ],
)
def test_an_invalid_project_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        project(**fields)

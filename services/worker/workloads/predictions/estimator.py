"""The embedded estimator: a value, a range and a stated confidence from earned value and earned schedule alone."""

import datetime as dt
from collections.abc import Sequence

from services.worker.workloads.predictions import spread
from services.worker.workloads.predictions.earned_value import durations, earned_schedule, final_costs, indices_of
from services.worker.workloads.predictions.model import (
    Confidence,
    CostPrediction,
    DatePrediction,
    Indices,
    Prediction,
    Project,
)
from services.worker.workloads.predictions.periods import date_after
from services.worker.workloads.predictions.risk import risk_of

METHOD = "earned value and earned schedule"
_EARLY = 20.0
"""Share of the work, in per cent, below which the indices still vary strongly."""
_WIDE = 0.25
_EARLY_NOTE = "Less than 20 % is done: the indices still move a lot."
_NO_HISTORY_NOTE = "Without five periods, each with work done, the range is what formulas say, not a probability."
_STATISTICS_NOTE = (
    "The range also holds 90 % limits from the spread of single periods, taken as independent and log-normal."
)
_NOTHING = "Nothing was earned yet: there is no performance to go by."
_DONE = "The work is complete."


def estimate(project: Project) -> Prediction:
    """Return the prediction of every figure that was requested of a project."""
    indices = indices_of(project)
    asked = set(project.predict)
    return Prediction(
        project=project.project,
        status_date=date_after(project.start, project.periods_elapsed, project.period),
        provider="embedded",
        completion_date=_completion(project, indices) if "completion_date" in asked else None,
        final_cost=_cost(project, indices) if "final_cost" in asked else None,
        risk=risk_of(project, indices) if "risk" in asked else None,
        indices=indices,
    )


def _completion(project: Project, indices: Indices) -> DatePrediction:
    if project.is_complete:
        return _completed(project)
    found = durations(project, indices)
    if "spi_time" not in found:
        return DatePrediction(
            value=None, earliest=None, latest=None, range_level=None, confidence="low", method=METHOD, by_method={},
            notes=[_NOTHING],
        )  # fmt: skip
    rest = len(project.planned_value) - indices.earned_schedule
    at, value = project.periods_elapsed, found["spi_time"]
    schedule = [earned_schedule(project.planned_value, earned) for earned in project.earned_value]
    passed = [float(period) for period in range(1, len(schedule) + 1)]
    factor = spread.factor(spread.ratios(schedule, passed), rest) if project.elapsed is None else None
    limits = [at + (value - at) / factor, at + (value - at) * factor] if factor else []
    spans = [*found.values(), *limits]

    def date(periods: float) -> dt.date:
        return date_after(project.start, periods, project.period)

    width = (max(spans) - min(spans)) / value
    return DatePrediction(
        value=date(value),
        earliest=date(min(spans)),
        latest=date(max(spans)),
        range_level=spread.LEVEL if factor else None,
        confidence=_confidence(indices, factor, width),
        method=f"{METHOD}: AT + (PD - ES) / SPI(t)",
        by_method={name: date(periods) for name, periods in found.items()},
        notes=_notes(indices, factor),
    )


def _completed(project: Project) -> DatePrediction:
    """Return the end of the first period in which everything was earned; with a single value, the present."""
    first = next(n for n, earned in enumerate(project.earned_value, start=1) if project.is_complete_at(earned))
    periods = project.periods_elapsed if first == len(project.earned_value) else float(first)
    day = date_after(project.start, periods, project.period)
    return DatePrediction(
        value=day, earliest=day, latest=day, range_level=None, confidence="high", method="complete",
        by_method={"complete": day}, notes=[_DONE],
    )  # fmt: skip


def _cost(project: Project, indices: Indices) -> CostPrediction:
    spent = project.actual_cost[-1]
    if project.is_complete:
        return CostPrediction(
            value=spent, lowest=spent, highest=spent, range_level=None, confidence="high", method="complete",
            by_method={"complete": spent}, notes=[_DONE],
        )  # fmt: skip
    found = final_costs(project, indices)
    rest = len(project.planned_value) - indices.earned_schedule
    value = found.get("cpi")
    if value is None:
        return CostPrediction(
            value=None, lowest=None, highest=None, range_level=None, confidence="low", method=METHOD,
            by_method=found, notes=[indices.undefined.get("cpi", _NOTHING)],
        )  # fmt: skip
    factor = spread.factor(spread.ratios(project.earned_value, project.actual_cost), rest)
    limits = [spent + (value - spent) / factor, spent + (value - spent) * factor] if factor else []
    spans = [*found.values(), *limits]
    return CostPrediction(
        value=value,
        lowest=min(spans),
        highest=max(spans),
        range_level=spread.LEVEL if factor else None,
        confidence=_confidence(indices, factor, (max(spans) - min(spans)) / value),
        method=f"{METHOD}: AC + (BAC - EV) / CPI",
        by_method=found,
        notes=_notes(indices, factor),
    )


def _confidence(indices: Indices, factor: float | None, width: float) -> Confidence:
    """Return the confidence: low while little is done or the range is wide, high only with a long history."""
    if indices.percent_complete < _EARLY or width > 2 * _WIDE:
        return "low"
    return "high" if factor and width <= _WIDE else "medium"


def _notes(indices: Indices, factor: float | None) -> list[str]:
    early: Sequence[str] = [_EARLY_NOTE] if indices.percent_complete < _EARLY else []
    return [*early, _STATISTICS_NOTE if factor else _NO_HISTORY_NOTE]

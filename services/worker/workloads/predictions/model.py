"""Items and results of the predictions workload: a project's plan and progress, and its prediction."""

import datetime as dt
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_PERIODS = 600
HUGE = 1e15
"""Upper bound of all values, so that their sums and squares stay finite."""

Kind = Literal["completion_date", "final_cost", "risk"]
Confidence = Literal["low", "medium", "high"]
Amount = Annotated[float, Field(ge=0, le=HUGE, allow_inf_nan=False)]
Series = Annotated[list[Amount], Field(min_length=1, max_length=MAX_PERIODS)]
Text = Annotated[str, StringConstraints(max_length=500)]


class Project(BaseModel):
    """Project: its plan, its progress, and the requested predictions.

    All values of a project have one unit, money or points. Series are cumulative: the value at the end of each period.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: Annotated[str, StringConstraints(min_length=1, max_length=100), Field(description="Its name or number")]
    predict: Annotated[list[Kind], Field(min_length=1, max_length=3)] = ["completion_date", "final_cost", "risk"]
    start: Annotated[dt.date, Field(ge=dt.date(1900, 1, 1), le=dt.date(2200, 1, 1))]
    period: Literal["day", "week", "month"] = "month"
    planned_value: Annotated[Series, Field(description="By the plan, up to the whole budget at its last period")]
    earned_value: Annotated[Series, Field(description="Of the work done, in planned value; the last one is today's")]
    actual_cost: Annotated[Series, Field(description="What was spent; the last one is today's")]
    elapsed: Annotated[
        float | None,
        Field(
            gt=0, le=10 * MAX_PERIODS, description="Periods since the start; the length of `earned_value` unless set"
        ),
    ] = None
    estimate_to_complete: Annotated[Amount | None, Field(description="An estimate of one's own for the rest")] = None

    @property
    def budget(self) -> float:
        """The budget at completion."""
        return self.planned_value[-1]

    @property
    def periods_elapsed(self) -> float:
        """Actual time, in periods."""
        return float(len(self.earned_value)) if self.elapsed is None else self.elapsed

    @property
    def is_complete(self) -> bool:
        """Tell whether the whole budget is earned."""
        return self.is_complete_at(self.earned_value[-1])

    def is_complete_at(self, earned: float) -> bool:
        """Tell whether an earned value reaches the budget."""
        return earned >= self.budget * (1 - 1e-9)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("planned_value", "actual_cost"):
            values = getattr(self, name)
            if any(later < earlier for earlier, later in pairwise(values)):
                raise ValueError(f"{name} is cumulative: it must never fall")
        if self.budget < 1e-6:
            raise ValueError("planned_value must end with the budget, above 0")
        if self.earned_value[-1] > self.budget * 1.000001:
            raise ValueError("earned_value ends above the last planned_value: add the new scope to the plan")
        if len(self.actual_cost) != len(self.earned_value):
            raise ValueError("earned_value and actual_cost must have the same number of periods")
        if self.elapsed is not None and len(self.earned_value) > 1 and abs(self.elapsed - len(self.earned_value)) >= 1:
            raise ValueError(
                "elapsed must be within a period of the number of earned values; leave it out, or give one"
            )
        return self


class DatePrediction(BaseModel):
    """Date when the work is done. `range_level` is the nominal share of cases that the range covers, if there is one;
    without it the range is what different formulas say, no more."""

    model_config = ConfigDict(frozen=True)

    value: dt.date | None
    earliest: dt.date | None
    latest: dt.date | None
    range_level: float | None
    confidence: Confidence
    method: str
    by_method: dict[str, dt.date]
    notes: list[str]


class CostPrediction(BaseModel):
    """Cost of the project at its end; the fields are those of `DatePrediction`."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    lowest: float | None
    highest: float | None
    range_level: float | None
    confidence: Confidence
    method: str
    by_method: dict[str, float]
    notes: list[str]


class RiskPrediction(BaseModel):
    """Risk that plan and budget are missed; `unknown` where nothing can be said yet."""

    model_config = ConfigDict(frozen=True)

    level: Literal["low", "medium", "high", "unknown"]
    confidence: Confidence
    method: str
    reasons: list[str]


class Indices(BaseModel):
    """Earned value and earned schedule; null where undefined, and `undefined` says why."""

    model_config = ConfigDict(frozen=True)

    percent_complete: float
    cost_variance: float
    schedule_variance: float
    cpi: float | None
    spi: float | None
    earned_schedule: float
    schedule_variance_time: float
    spi_time: float | None
    tcpi_budget: float | None
    tspi: float | None
    undefined: dict[str, str]


class Usage(BaseModel):
    """Tokens and calls that a provider counted, over all calls for this item."""

    model_config = ConfigDict(frozen=True)

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """Cost by the prices in the settings; null without them."""


class Prediction(BaseModel):
    """Requested predictions, and the indices on which they are based."""

    model_config = ConfigDict(frozen=True)

    project: str
    status_date: dt.date
    provider: Literal["embedded", "chat"]
    model: str | None = None
    """Exact name of the model that answered."""
    completion_date: DatePrediction | None = None
    final_cost: CostPrediction | None = None
    risk: RiskPrediction | None = None
    indices: Indices
    usage: Usage = Usage()
    fallback: str | None = None
    """Code of the error for which the embedded estimator took the place of the chat model; null: it did not."""

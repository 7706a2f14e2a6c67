"""Summary of a portfolio: its cost and its end, with ranges, and the projects at risk."""

import datetime as dt
from math import hypot
from typing import Literal

from pydantic import BaseModel

from batchyard_contracts.workload import ItemInfo
from services.worker.workloads.predictions.model import Prediction, RiskPrediction, Usage
from services.worker.workloads.predictions.settings import PredictionsSettings

_NAMED = 10
"""Largest number of projects that are listed by name."""
Level = Literal["low", "medium", "high", "unknown"]


class PortfolioCost(BaseModel):
    """Final costs of all projects together, in their common unit."""

    projects: int
    value: float
    lowest: float
    highest: float
    """Upper bound, as `lowest` is the lower, if all projects end at the same bound of their ranges."""
    independent_lowest: float
    independent_highest: float
    """Upper bound if projects miss their values independently: the misses add up as the legs of a right angle do."""


class PortfolioEnd(BaseModel):
    """End of the portfolio: the day when its last project is complete."""

    projects: int
    value: dt.date
    earliest: dt.date
    latest: dt.date
    last: str
    """The project that is expected to end last."""


class Portfolio(BaseModel):
    """All projects of a batch together. Figures that were not requested, or that no project has, are null."""

    projects: int
    final_cost: PortfolioCost | None
    completion_date: PortfolioEnd | None
    without_cost: int
    without_date: int
    """Number of projects for which that is unknown or was not requested."""
    risk: dict[Level, int]
    high_risk: list[str]
    """Names of the first of these projects."""
    usage: Usage
    max_cost: float | None
    """Sum that the batch might cost by the settings; null: any."""
    cached: int
    cache_hit_rate: float
    """Share of the projects, from 0 to 1, that were answered from the cache."""
    fallbacks: int
    """Number of projects for which the embedded estimator took the place of the chat model."""


class PortfolioTotals:
    """Reducer: adds up the predictions of a portfolio."""

    def __init__(self) -> None:
        self._projects = self._costs = self._dates = 0
        self._value = self._lowest = self._highest = 0.0
        self._below = self._above = 0.0
        self._end: PortfolioEnd | None = None
        self._risk: dict[Level, int] = {}
        self._high: list[str] = []
        self._calls = self._prompt = self._completion = 0
        self._spent: float | None = None
        self._cached = self._fallbacks = 0

    def add(self, result: Prediction, item: ItemInfo) -> None:
        """Add a project."""
        self._projects += 1
        self._add_cost(result)
        self._add_end(result)
        if result.risk is not None:
            self._add_risk(result.project, result.risk)
        self._fallbacks += result.fallback is not None
        if item.cached:
            self._cached += 1
            return  # its calls were paid for by another batch
        self._calls += result.usage.calls
        self._prompt += result.usage.prompt_tokens
        self._completion += result.usage.completion_tokens
        if result.usage.cost is not None:
            self._spent = (self._spent or 0.0) + result.usage.cost

    def finish(self) -> Portfolio:
        """Return the summary."""
        cost = PortfolioCost(
            projects=self._costs,
            value=round(self._value, 2),
            lowest=round(self._lowest, 2),
            highest=round(self._highest, 2),
            independent_lowest=round(self._value - self._below, 2),
            independent_highest=round(self._value + self._above, 2),
        )
        return Portfolio(
            projects=self._projects,
            final_cost=cost if self._costs else None,
            completion_date=self._end,
            without_cost=self._projects - self._costs,
            without_date=self._projects - self._dates,
            risk=self._risk,
            high_risk=self._high,
            usage=Usage(
                calls=self._calls,
                prompt_tokens=self._prompt,
                completion_tokens=self._completion,
                cost=None if self._spent is None else round(self._spent, 6),
            ),
            max_cost=PredictionsSettings().max_cost,
            cached=self._cached,
            cache_hit_rate=round(self._cached / self._projects, 4) if self._projects else 0.0,
            fallbacks=self._fallbacks,
        )

    def _add_cost(self, result: Prediction) -> None:
        cost = result.final_cost
        if cost is None or cost.value is None:
            return
        lowest = cost.value if cost.lowest is None else cost.lowest
        highest = cost.value if cost.highest is None else cost.highest
        self._costs += 1
        self._value += cost.value
        self._lowest += lowest
        self._highest += highest
        self._below = hypot(self._below, cost.value - lowest)
        self._above = hypot(self._above, highest - cost.value)

    def _add_end(self, result: Prediction) -> None:
        found = result.completion_date
        if found is None or found.value is None:
            return
        self._dates += 1
        one = PortfolioEnd(
            projects=1,
            value=found.value,
            earliest=found.earliest or found.value,
            latest=found.latest or found.value,
            last=result.project,
        )
        so_far = self._end or one
        self._end = PortfolioEnd(
            projects=self._dates,
            value=max(one.value, so_far.value),
            earliest=max(one.earliest, so_far.earliest),
            latest=max(one.latest, so_far.latest),
            last=one.last if one.value > so_far.value else so_far.last,
        )

    def _add_risk(self, project: str, risk: RiskPrediction) -> None:
        self._risk[risk.level] = self._risk.get(risk.level, 0) + 1
        if risk.level == "high" and len(self._high) < _NAMED:
            self._high.append(project)

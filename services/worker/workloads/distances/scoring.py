"""Scores how well contractors fit a job: hard filters first, then a weighted score whose parts are shown. Pure.

The score is the sum of weight times value over the criteria that are known of a contractor, by the sum of their
weights: what is unknown counts neither for nor against. Values run from 0 to 1:

* travel: 1 for no way at all, down to 0 at the longest way allowed;
* rating: the mean of the reviews drawn towards 3.5 as by 10 more reviews, then from 0 … 5 to 0 … 1;
* availability: which part of the job's window the contractor is free;
* cost: 1 for the cheapest of all candidates, down to 0 for the dearest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.worker.workloads.distances.recommendations import (
    Contractor,
    Criterion,
    Exclusion,
    Job,
    Part,
    Weights,
    Window,
)

PRIOR_RATING = 3.5
PRIOR_REVIEWS = 10
UNSAID_REVIEWS = 10
"""Number of reviews that a rating without a number of reviews is taken to have."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Lowest and highest cost of all candidates."""

    least: float
    most: float

    @classmethod
    def of(cls, contractors: Iterable[Contractor]) -> "Costs | None":
        """Find the extremes of the known costs; None when no cost is known."""
        known = [one.cost for one in contractors if one.cost is not None]
        return cls(min(known), max(known)) if known else None

    def value(self, cost: float) -> float:
        """Rate a cost from 1, the cheapest, to 0; all are 1 when they cost the same."""
        span = self.most - self.least
        return 1.0 - (cost - self.least) / span if span > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """Score and its parts."""

    score: float
    parts: dict[Criterion, Part]


def longest_s(contractor: Contractor, max_travel_s: float) -> float:
    """Return the longest travel time that both sides accept, in seconds."""
    return max_travel_s if contractor.max_travel_s is None else min(max_travel_s, contractor.max_travel_s)


def exclusion(job: Job, contractor: Contractor, least_travel_s: float, max_travel_s: float) -> Exclusion | None:
    """Return the reason why a contractor cannot have a job; None if there is none."""
    if contractor.id in job.excluded:
        return Exclusion(contractor_id=contractor.id, reason="excluded", detail="the job names it as excluded")
    if lacking := sorted(set(job.skills) - set(contractor.skills)):
        return Exclusion(contractor_id=contractor.id, reason="missing_skill", detail=f"lacks {', '.join(lacking)}")
    if (detail := _not_available(job, contractor)) is not None:
        return Exclusion(contractor_id=contractor.id, reason="not_available", detail=detail)
    return too_far(contractor, least_travel_s, max_travel_s)


def too_far(contractor: Contractor, travel_s: float, max_travel_s: float) -> Exclusion | None:
    """Return the exclusion of a contractor whose way is longer than both sides allow; None if it is not."""
    if travel_s <= (longest := longest_s(contractor, max_travel_s)):
        return None
    detail = f"{travel_s / 60:.0f} min to travel, at most {longest / 60:.0f} min"
    return Exclusion(contractor_id=contractor.id, reason="too_far", detail=detail)


def score(
    job: Job, contractor: Contractor, travel_s: float, weights: Weights, max_travel_s: float, costs: Costs | None
) -> Score:
    """Return the score of a contractor that is not excluded."""
    longest = longest_s(contractor, max_travel_s)
    values: dict[Criterion, tuple[float, float]] = {
        "travel": (1.0 - min(1.0, travel_s / longest) if longest > 0 else 1.0, weights.travel)
    }
    if contractor.rating is not None:
        values["rating"] = (_rating(contractor.rating, contractor.reviews), weights.rating)
    if job.window is not None and contractor.available is not None:
        free_s = sum(_overlaps_s(job.window, contractor.available))
        values["availability"] = (min(1.0, free_s / _length_s(job.window)), weights.availability)
    if contractor.cost is not None and costs is not None:
        values["cost"] = (costs.value(contractor.cost), weights.cost)
    total = sum(weight for _, weight in values.values())
    if not total:
        return Score(0.0, {})
    parts = {name: Part(value=value, weight=weight / total) for name, (value, weight) in values.items() if weight}
    return Score(min(1.0, sum(part.value * part.weight for part in parts.values())), parts)


def _rating(mean: float, reviews: int | None) -> float:
    count = UNSAID_REVIEWS if reviews is None else reviews
    return (PRIOR_REVIEWS * PRIOR_RATING + count * mean) / (PRIOR_REVIEWS + count) / 5


def _not_available(job: Job, contractor: Contractor) -> str | None:
    if contractor.available is None:
        return None
    needed = job.duration_s or 0.0
    merged = _merged(contractor.available)
    stretches = [_length_s(window) for window in merged] if job.window is None else _overlaps_s(job.window, merged)
    longest = max(stretches, default=0.0)
    if longest > 0 and longest >= needed:
        return None
    if longest == 0:
        return "not free in the job's window" if job.window else "never free"
    return f"free for {longest / 60:.0f} min in one piece, {needed / 60:.0f} min are needed"


def _merged(windows: Sequence[Window]) -> list[Window]:
    """Merge windows that touch or overlap."""
    merged: list[Window] = []
    for window in sorted(windows, key=lambda one: one.start):
        if merged and window.start <= merged[-1].end:
            if window.end > merged[-1].end:
                merged[-1] = Window.model_construct(start=merged[-1].start, end=window.end)
        else:
            merged.append(window)
    return merged


def _overlaps_s(window: Window, others: Sequence[Window]) -> list[float]:
    overlaps = ((min(window.end, o.end) - max(window.start, o.start)).total_seconds() for o in _merged(others))
    return [seconds for seconds in overlaps if seconds > 0]


def _length_s(window: Window) -> float:
    return (window.end - window.start).total_seconds()

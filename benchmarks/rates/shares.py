"""Result of a limit at a destination: the share of the possible calls, and the share of refused calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

REFUSED_MAX = 0.01
"""A fixed limit may have refused as many calls as the adaptive one, or this share of them, to be called the best."""
Schedule = Sequence[tuple[float, float]]
"""Pairs of seconds, and the capacity in calls a second during them."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Result of one limit."""

    ideal_share: float
    """Answers within the schedule's time, as a share of what its capacity had let through."""
    refused_share: float
    """Refusals, as a share of all calls in that time."""
    per_second: float | None = None
    """The limit, if it is a fixed one."""

    def document(self) -> dict[str, Any]:
        """As JSON keeps it."""
        fixed = {} if self.per_second is None else {"per_second": self.per_second}
        return {**fixed, "ideal_share": round(self.ideal_share, 4), "refused_share": round(self.refused_share, 4)}


def reached(
    calls: Sequence[tuple[float, float | None]], schedule: Schedule, per_second: float | None = None
) -> Reached:
    """From calls: when each came, and how long its answer took; None if it was refused."""
    end = sum(seconds for seconds, _ in schedule)
    made = [(at, took) for at, took in calls if at < end]
    answered = sum(took is not None and at + took <= end for at, took in made)
    refused = sum(took is None for _, took in made)
    ideal = sum(seconds * capacity for seconds, capacity in schedule)
    return Reached(answered / ideal, refused / max(1, len(made)), per_second)


def best(fixed: Sequence[Reached], adaptive: Reached) -> Reached:
    """The fixed limit with most answers of those that were refused no more often than the adaptive one, or than
    `REFUSED_MAX`; if there is none, the one that was refused least."""
    bound = max(REFUSED_MAX, adaptive.refused_share)
    gentle = [each for each in fixed if each.refused_share <= bound]
    if gentle:
        return max(gentle, key=lambda each: each.ideal_share)
    return min(fixed, key=lambda each: each.refused_share)


def answers_per_second(calls: Sequence[tuple[float, float | None]], seconds: int) -> list[int]:
    """Count the calls that were answered in each second from the first call on."""
    counted = [0] * seconds
    for at, took in calls:
        if took is not None and (second := int(at + took)) < seconds:
            counted[second] += 1
    return counted


def steps(schedule: Schedule) -> list[tuple[float, float]]:
    """Return the points of the capacity over time: seconds, and calls a second."""
    ends = [0.0]
    for seconds, _ in schedule:
        ends.append(ends[-1] + seconds)
    return [
        (at, capacity)
        for (since, until), (_, capacity) in zip(pairwise(ends), schedule, strict=True)
        for at in (since, until)
    ]

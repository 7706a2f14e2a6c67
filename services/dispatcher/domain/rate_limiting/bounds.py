"""Bounds of rates and measurements within which every computation of the scheduler stays finite.

The contracts bound new messages; stored terms and the measurements of a worker in another language are bounded here.
"""

from batchyard_contracts.v1.values import MAX_BURST, MAX_PER_SECOND, MIN_PER_SECOND, Rate

MAX_COUNT = 1_000_000
"""Largest number of items that a measurement may state."""
MAX_SECONDS = 86_400.0
"""Longest time that a measurement or a destination may state: a day."""


def clamp(value: float, lowest: float, highest: float) -> float:
    """Return the number within the bounds that is nearest to a value; `lowest` for NaN."""
    return min(highest, max(lowest, value))


def bounded_rate(rate: Rate) -> Rate:
    """Return a rate within the bounds: the given one if it is, else the nearest."""
    per_second = clamp(rate.per_second, MIN_PER_SECOND, MAX_PER_SECOND)
    burst = min(MAX_BURST, max(1, rate.burst))
    if (per_second, burst) == (rate.per_second, rate.burst):
        return rate
    return Rate(per_second=per_second, burst=burst)

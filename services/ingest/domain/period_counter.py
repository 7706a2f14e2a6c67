"""Counts by name in periods of fixed length, in bounded memory."""

from collections import Counter
from collections.abc import Mapping

MAX_COUNTED = 20_000
"""Largest number of names that are counted in a period; further ones are not limited in it."""


class PeriodCounter:
    """Counts of the running period. Periods begin at the same times in every process, which may know those of others.

    `now` is a time in seconds of the wall clock.
    """

    def __init__(self, period_s: int) -> None:
        self.period_s = period_s
        self._period = -1
        self._own: Counter[str] = Counter()
        self._others: Mapping[str, int] = {}

    def add(self, name: str, now: float, count: int = 1) -> int:
        """Count, and return how many there are in the period now."""
        self._begin(now)
        if name in self._own or len(self._own) < MAX_COUNTED:
            self._own[name] += count
        return self.total(name, now)

    def total(self, name: str, now: float) -> int:
        """Return how many there are in the period."""
        self._begin(now)
        return self._own[name] + self._others.get(name, 0)

    def ends_in_s(self, now: float) -> float:
        """Return the time until the next period."""
        return self.period_s - now % self.period_s

    def own(self, now: float) -> tuple[int, Mapping[str, int]]:
        """Return the number of the period, and what this process has counted in it."""
        self._begin(now)
        return self._period, self._own

    def set_others(self, counts: Mapping[str, int], now: float) -> None:
        """Replace what other processes have counted in the period."""
        self._begin(now)
        self._others = counts

    def _begin(self, now: float) -> None:
        period = int(now // self.period_s)
        if period != self._period:
            self._period = period
            self._own, self._others = Counter(), {}

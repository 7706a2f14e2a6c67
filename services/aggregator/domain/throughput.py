"""The throughput of a batch: recent items per second, as an exponentially weighted average."""

import math
from dataclasses import dataclass

WINDOW_S = 5.0
"""Age at which an item weighs 1/e of a new one."""
_MIN_ITEMS_PER_S = 0.05
"""Throughput below which the batch counts as idle."""
_MIN_OBSERVED_S = 0.25
"""Shortest observed time that gives a meaningful rate."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Average over the observations so far. Times are monotonic seconds; `ended` is the latest observed count."""

    started_at: float
    at: float
    ended: int
    average: float = 0.0

    @classmethod
    def start(cls, at: float, ended: int) -> "Throughput":
        """Start with a first observation, which only sets where counting begins."""
        return cls(at, at, ended)

    def observe(self, at: float, ended: int) -> "Throughput":
        """Add an observation. Fewer ended items than before mean a new round, which starts anew."""
        if ended < self.ended:
            return Throughput.start(at, ended)
        elapsed = at - self.at
        if elapsed <= 0:
            return self
        old_weight = math.exp(-elapsed / WINDOW_S)
        rate = (ended - self.ended) / elapsed
        return Throughput(self.started_at, at, ended, self.average * old_weight + rate * (1 - old_weight))

    def items_per_s(self, at: float) -> float | None:
        """Return the items per second at this time; None if unknown or idle.

        The average starts at 0 and is divided by the weight gathered so far. It decays while there are no observations.
        """
        if self.at - self.started_at < _MIN_OBSERVED_S:
            return None
        total_weight = 1 - math.exp(-(self.at - self.started_at) / WINDOW_S)
        rate = self.average / total_weight * math.exp(-max(0.0, at - self.at) / WINDOW_S)
        return rate if rate >= _MIN_ITEMS_PER_S else None

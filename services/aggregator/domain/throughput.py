"""How fast a batch moves: items per second over the recent past, as an exponentially weighted average."""

import math
from dataclasses import dataclass

WINDOW_S = 5.0
"""An item weighs 1/e of a new one after this time."""
_MIN_ITEMS_PER_S = 0.05
"""Below this many items per second nothing moves."""
_MIN_OBSERVED_S = 0.25
"""Two looks in quick succession say nothing of the pace."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was seen so far. Times are seconds of a monotonic clock; `ended` is the count at the last look."""

    started_at: float
    at: float
    ended: int
    average: float = 0.0

    @classmethod
    def start(cls, at: float, ended: int) -> "Throughput":
        """The first look only says where counting begins."""
        return cls(at, at, ended)

    def observe(self, at: float, ended: int) -> "Throughput":
        """Look again. Fewer ended items than before mean a new round, which starts afresh."""
        if ended < self.ended:
            return Throughput.start(at, ended)
        elapsed = at - self.at
        if elapsed <= 0:
            return self
        old_weight = math.exp(-elapsed / WINDOW_S)
        rate = (ended - self.ended) / elapsed
        return Throughput(self.started_at, at, ended, self.average * old_weight + rate * (1 - old_weight))

    def items_per_s(self, at: float) -> float | None:
        """Items per second at this time; None when nothing is known or nothing moves any more.

        The average starts at 0: it is divided by the weight that it has total_weight so far. With every second without
        news it fades.
        """
        if self.at - self.started_at < _MIN_OBSERVED_S:
            return None
        total_weight = 1 - math.exp(-(self.at - self.started_at) / WINDOW_S)
        rate = self.average / total_weight * math.exp(-max(0.0, at - self.at) / WINDOW_S)
        return rate if rate >= _MIN_ITEMS_PER_S else None

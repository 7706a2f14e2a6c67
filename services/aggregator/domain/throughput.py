"""How fast a batch moves: items per second over the recent past, as an exponentially weighted average."""

import math
from dataclasses import dataclass

WINDOW_S = 5.0
"""An item weighs 1/e of a new one after this time."""
_LEAST = 0.05
"""Below this many items per second nothing moves."""
_SOONEST_S = 0.25
"""Two looks in quick succession say nothing of the pace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was seen so far. Times are seconds of a monotonic clock; `ended` is the count at the last look."""

    since: float
    at: float
    ended: int
    average: float = 0.0

    @classmethod
    def start(cls, at: float, ended: int) -> "Pace":
        """The first look only says where counting begins."""
        return cls(at, at, ended)

    def seen(self, at: float, ended: int) -> "Pace":
        """Look again. Fewer ended items than before mean a new round, which starts afresh."""
        if ended < self.ended:
            return Pace.start(at, ended)
        elapsed = at - self.at
        if elapsed <= 0:
            return self
        kept = math.exp(-elapsed / WINDOW_S)
        rate = (ended - self.ended) / elapsed
        return Pace(self.since, at, ended, self.average * kept + rate * (1 - kept))

    def per_second(self, at: float) -> float | None:
        """Items per second at this time; None when nothing is known or nothing moves any more.

        The average starts at 0: it is divided by the weight that it has gathered so far. With every second without
        news it fades.
        """
        if self.at - self.since < _SOONEST_S:
            return None
        gathered = 1 - math.exp(-(self.at - self.since) / WINDOW_S)
        rate = self.average / gathered * math.exp(-max(0.0, at - self.at) / WINDOW_S)
        return rate if rate >= _LEAST else None

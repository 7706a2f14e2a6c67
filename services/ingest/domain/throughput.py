"""How fast items end, and so when there is room again: for telling those who have to wait for how long."""

import math

_SMOOTHING_S = 20.0
_SHORTEST_S = 1.0
_LONGEST_S = 300.0
_UNKNOWN_S = 30.0


class Pace:
    """A moving average of items a second; what was longer ago than about 20 s counts little."""

    def __init__(self) -> None:
        self.per_s = 0.0

    def note(self, ended: int, during_s: float) -> None:
        """So many items ended during the last seconds."""
        if during_s > 0:
            share = 1 - math.exp(-during_s / _SMOOTHING_S)
            self.per_s += share * (ended / during_s - self.per_s)

    def wait_s(self, items: int) -> float:
        """How long it takes until so many have ended: from 1 s to 5 minutes, in full seconds."""
        if self.per_s < 1 / _LONGEST_S:
            return _UNKNOWN_S
        return float(math.ceil(min(max(items / self.per_s, _SHORTEST_S), _LONGEST_S)))

"""Throughput of ended items, which tells rejected clients when to try again."""

import math

_SMOOTHING_S = 20.0
_SHORTEST_S = 1.0
_LONGEST_S = 300.0
_UNKNOWN_S = 30.0


class Throughput:
    """Moving average of ended items per second, with a time constant of 20 s."""

    def __init__(self) -> None:
        self.per_s = 0.0

    def record(self, ended: int, elapsed_s: float) -> None:
        """Record the items that ended during the last `elapsed_s` seconds."""
        if elapsed_s > 0:
            weight = 1 - math.exp(-elapsed_s / _SMOOTHING_S)
            self.per_s += weight * (ended / elapsed_s - self.per_s)

    def wait_s(self, items: int) -> float:
        """Return the seconds until so many items have ended: whole seconds from 1 to 300."""
        if self.per_s < 1 / _LONGEST_S:
            return _UNKNOWN_S
        return float(math.ceil(min(max(items / self.per_s, _SHORTEST_S), _LONGEST_S)))

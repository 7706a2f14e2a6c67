"""Learns how long a destination takes when it is at ease, and so how much of an answer's time was spent waiting."""

_SHARE, _LEAST_MS = 0.3, 6.0
"""What answers may take longer before that counts as waiting: a share of their time at ease, or so much."""
_NOISE = 5.0
"""Nor does what times vary by: so many times what they fall short of the time at ease, in the mean."""
_DOWN, _UP = 0.1, 0.05
"""Weights by which the time at ease follows shorter times, and longer ones."""
_WEIGHT = 0.1


class Ease:
    """Of one destination. Only shorter times tell its noise, since longer ones may have waited."""

    def __init__(self) -> None:
        self.base_ms: float | None = None
        self._short_ms = 0.0

    @property
    def tolerance_ms(self) -> float:
        """Who waits no longer does not wait, as far as can be told."""
        return max(_LEAST_MS, _SHARE * (self.base_ms or 0.0), _NOISE * self._short_ms)

    def wait_ms(self, median_ms: float) -> float:
        """How long answers waited that took so long; learns from them."""
        if self.base_ms is None:
            self.base_ms = median_ms
        off = median_ms - self.base_ms
        if off < self.tolerance_ms:
            self._short_ms += _WEIGHT * (max(0.0, -off) - self._short_ms)
            self.base_ms += (_DOWN if off < 0 else _UP) * off
        return max(0.0, median_ms - self.base_ms)

    def believe(self, wait_ms: float) -> None:
        """It was no waiting: the destination takes longer now."""
        self.base_ms = (self.base_ms or 0.0) + wait_ms

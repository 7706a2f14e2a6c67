"""Learns how long a destination takes when it is at ease, and so how much of an answer's time was spent waiting."""

_WAIT_SHARE, _MIN_WAIT_MS = 0.3, 6.0
"""What answers may take longer before that counts as waiting: a share of their time at ease, or so much."""
_NOISE = 5.0
"""Nor does what times vary by: so many times what they fall short of the time at ease, in the mean."""
_DOWN, _UP = 0.1, 0.05
"""Weights by which the time at ease follows shorter times, and longer ones."""
_WEIGHT = 0.1


class LatencyBaseline:
    """Of one destination. Only shorter times tell its noise, since longer ones may have waited."""

    def __init__(self) -> None:
        self.base_ms: float | None = None
        self._noise_ms = 0.0

    @property
    def tolerance_ms(self) -> float:
        """Who waits no longer does not wait, as far as can be told."""
        return max(_MIN_WAIT_MS, _WAIT_SHARE * (self.base_ms or 0.0), _NOISE * self._noise_ms)

    def wait_ms(self, median_ms: float) -> float:
        """How long answers waited that took so long; learns from them."""
        if self.base_ms is None:
            self.base_ms = median_ms
        deviation = median_ms - self.base_ms
        if deviation < self.tolerance_ms:
            self._noise_ms += _WEIGHT * (max(0.0, -deviation) - self._noise_ms)
            self.base_ms += (_DOWN if deviation < 0 else _UP) * deviation
        return max(0.0, median_ms - self.base_ms)

    def shift(self, wait_ms: float) -> None:
        """It was no waiting: the destination takes longer now."""
        self.base_ms = (self.base_ms or 0.0) + wait_ms

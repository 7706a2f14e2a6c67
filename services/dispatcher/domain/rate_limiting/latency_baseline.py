"""Learns the response time of a destination without queueing, and so how long answers waited."""

_WAIT_SHARE, _MIN_WAIT_MS = 0.3, 6.0
"""Increase of a response time that is not yet waiting: a share of the baseline, or at least this many ms."""
_NOISE = 5.0
"""Multiple of the mean shortfall below the baseline that also counts as noise."""
_DOWN, _UP = 0.1, 0.05
"""Weights by which the baseline follows shorter and longer response times."""
_WEIGHT = 0.1


class LatencyBaseline:
    """The baseline of one destination in ms. Its noise is learned from shorter times only, since longer ones may have
    waited."""

    def __init__(self) -> None:
        self.base_ms: float | None = None
        self._noise_ms = 0.0

    @property
    def tolerance_ms(self) -> float:
        """Wait in ms up to which an answer counts as one that did not wait."""
        return max(_MIN_WAIT_MS, _WAIT_SHARE * (self.base_ms or 0.0), _NOISE * self._noise_ms)

    def wait_ms(self, median_ms: float) -> float:
        """Return how many ms answers with this median waited, and learn from them."""
        if self.base_ms is None:
            self.base_ms = median_ms
        deviation = median_ms - self.base_ms
        if deviation < self.tolerance_ms:
            self._noise_ms += _WEIGHT * (max(0.0, -deviation) - self._noise_ms)
            self.base_ms += (_DOWN if deviation < 0 else _UP) * deviation
        return max(0.0, median_ms - self.base_ms)

    def shift(self, wait_ms: float) -> None:
        """Raise the baseline: the destination has become slower, and its answers did not wait."""
        self.base_ms = (self.base_ms or 0.0) + wait_ms

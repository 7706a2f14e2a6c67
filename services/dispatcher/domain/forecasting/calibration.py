"""Widens or narrows forecasts by how wrong the last ones were, so that an interval holds what it promises.

Conformal calibration: the errors of past forecasts, in units of their own spread, are the quantiles of the next one
(Vovk et al. 2005). The shares that are asked for follow drifts (adaptive conformal inference, Gibbs and Candes 2021).
"""

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
"""Shares of ends that come before the three times of a forecast."""
_MAX_ERRORS = 200
_ASSUMED = 10
"""Errors of a normal distribution that are assumed beside those that came; before the first end there are no others."""
_WEIGHT = 4
"""Ends that weigh as much, for the centre and the deviation of that distribution, as what is assumed of them."""
_STEP = 0.01
_UNFORESEEN, _MAX_SPREAD = 0.15, 1.0
"""Spread of what no simulation knows of, such as batches that arrive later."""
_MAX_ERROR = 10.0
_SHORT_S = 2.0
"""Seconds that are added to a time before its logarithm is taken, since the ratio of shorter times says little."""
_WIDTH = 2 * NormalDist().inv_cdf(HIGH)
_NORMAL = math.sqrt(math.pi / 2)
"""Deviation of a normal distribution divided by its mean absolute error, which outliers move less."""
_normal = tuple(NormalDist().inv_cdf((number + 0.5) / _ASSUMED) for number in range(_ASSUMED))


class Interval(NamedTuple):
    """Seconds until an end: a tenth of the ends come before `p10`, half before `p50`, nine tenths before `p90`."""

    p10: float
    p50: float
    p90: float
    earliest: float = 0.0
    """Seconds before which there is no end, such as those until an item is due."""

    @property
    def is_known(self) -> bool:
        """True if there is an end."""
        return math.isfinite(self.p90)

    @property
    def spread(self) -> float:
        """Deviation of the logarithm of the time."""
        ratio = (self.p90 + _SHORT_S) / (self.p10 + _SHORT_S)
        return min(_MAX_SPREAD, math.hypot(math.log(ratio) / _WIDTH, _UNFORESEEN))


@dataclass(slots=True)
class Calibration:
    """Errors of past forecasts of one kind."""

    _errors: list[float] = field(default_factory=list)
    _low: float = LOW
    _high: float = HIGH

    def apply(self, simulated: Interval) -> Interval:
        """Return the interval that simulated ends stand for."""
        if not simulated.is_known:
            return simulated
        errors = sorted([*self._assumed(), *self._errors])
        low, middle, high = (_quantile(errors, share) for share in (self._low, MIDDLE, self._high))
        spread, center = simulated.spread, simulated.p50 + _SHORT_S
        told = (min(low, middle), middle, max(middle, high))
        first, second, last = (center * math.exp(error * spread) - _SHORT_S for error in told)
        earliest = simulated.earliest
        return Interval(max(earliest, first), max(earliest, second), max(earliest, last), earliest)

    def _assumed(self) -> list[float]:
        """Return errors that are distributed as those that came, so that they move the quantiles little."""
        count = _WEIGHT + len(self._errors)
        center = sum(self._errors) / count
        deviation = (_WEIGHT + _NORMAL * sum(abs(error - center) for error in self._errors)) / count
        return [center + deviation * error for error in _normal]

    def record(self, simulated: Interval, actual_s: float) -> None:
        """Record the end of a batch of which `simulated` was the forecast before calibration."""
        if not simulated.is_known:
            return
        told = self.apply(simulated)
        self._low = min(0.3, max(0.01, self._low + _STEP * (LOW - (actual_s < told.p10))))
        self._high = min(0.99, max(0.7, self._high + _STEP * (HIGH - (actual_s <= told.p90))))
        ratio = (actual_s + _SHORT_S) / (simulated.p50 + _SHORT_S)
        self._errors.append(max(-_MAX_ERROR, min(_MAX_ERROR, math.log(ratio) / simulated.spread)))
        del self._errors[:-_MAX_ERRORS]


def _quantile(values: list[float], share: float) -> float:
    """Return the value that a share of the values, and of one that follows, does not exceed."""
    place = share * (len(values) + 1) - 1
    below = max(0, min(len(values) - 1, math.floor(place)))
    above = min(len(values) - 1, below + 1)
    part = min(1.0, max(0.0, place - below))
    return values[below] + part * (values[above] - values[below])

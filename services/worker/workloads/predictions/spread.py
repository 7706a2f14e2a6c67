"""Estimates how far an index of the rest may be off, by its values in single periods.

As in W. Lipke, O. Zwikael, K. Henderson, F. Anbari, "Prediction of project outcome", International Journal of Project
Management 27 (2009), the logarithms of periodic CPI and SPI(t) are taken as normal and independent. Here the limits are
those of a prediction: the mean of the periods to come is as uncertain as that of the periods past, and Student's t is
used for few periods.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

LEVEL = 0.9
"""Nominal share of cases within the range."""
LEAST = 5
"""Smallest number of periods from which a range can be computed."""
_T = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
_T_FURTHER = 1.753
"""Student's t for 90 % on both sides, by degrees of freedom from 1; beyond the table it stays: a little too wide."""


def factor(periodic: Sequence[float], to_come: float) -> float | None:
    """Factor by which the mean index of the periods to come may be smaller or larger; None where the values of single
    periods allow no statement: fewer than five, or one in which nothing was done."""
    if len(periodic) < LEAST or any(value <= 0 or not math.isfinite(value) for value in periodic):
        return None
    logs = [math.log(value) for value in periodic]
    mean = math.fsum(logs) / len(logs)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1))
    t = _T[len(logs) - 2] if len(logs) - 2 < len(_T) else _T_FURTHER
    return math.exp(min(t * deviation * math.sqrt(1 / len(logs) + 1 / max(1.0, to_come)), 50.0))


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the periodic values of an index whose parts are cumulative; 0 for a period without any."""
    steps = zip(_steps(above), _steps(below), strict=True)
    return [gained / spent if spent > 0 and gained > 0 else 0.0 for gained, spent in steps]


def _steps(series: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise((0.0, *series))]

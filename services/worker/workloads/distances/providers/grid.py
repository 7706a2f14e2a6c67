"""Reads the form that most matrix services share: a table of seconds and one of metres, null where there is no way."""

from typing import Any

from services.worker.workloads.distances.places import UNREACHABLE, Way
from services.worker.workloads.distances.providers.http import invalid
from services.worker.workloads.distances.providers.provider import Matrix

MOST = 10**9
"""Upper bound of metres and seconds; a larger number is an error of the service."""


def ways(name: str, durations: Any, metres: Any, rows: int, columns: int, *, scale: float = 1.0) -> Matrix:
    """The ways of two tables; distances are in units of `scale` metres. Raises `Transient` when they are no tables."""
    return [
        [
            _way(name, seconds, distance, scale)
            for seconds, distance in zip(_row(name, timed, columns), _row(name, measured, columns), strict=True)
        ]
        for timed, measured in zip(_row(name, durations, rows), _row(name, metres, rows), strict=True)
    ]


def _row(name: str, value: Any, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise invalid(name)
    return value


def _way(name: str, seconds: Any, distance: Any, scale: float) -> Way:
    if seconds is None or distance is None:
        return UNREACHABLE
    for value in (seconds, distance):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            raise invalid(name)
    return Way(round(distance * scale), round(seconds))

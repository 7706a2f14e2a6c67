"""Reads the format of most matrix services: a table of seconds and one of metres, null where there is no way."""

from collections.abc import Sequence
from typing import Any

from services.worker.workloads.distances.places import UNREACHABLE, Route
from services.worker.workloads.distances.providers.http import invalid
from services.worker.workloads.distances.providers.provider import NOT_ROUTABLE, Matrix

MOST = 10**9
"""Upper bound of metres and seconds; a larger number is an error of the service."""


def routes(name: str, durations: Any, metres: Any, rows: int, columns: int, *, scale: float = 1.0) -> Matrix:
    """Return the ways of two tables, with distances in units of `scale` metres. Raises `Transient` for other values."""
    return [
        [
            _way(name, seconds, distance, scale)
            for seconds, distance in zip(_row(name, timed, columns), _row(name, measured, columns), strict=True)
        ]
        for timed, measured in zip(_row(name, durations, rows), _row(name, metres, rows), strict=True)
    ]


def without_far_places(matrix: Matrix, origins: Any, destinations: Any, field: str, most_m: float) -> Matrix:
    """Return the matrix with an error for each way from or to a place that is farther than `most_m` from a road.

    `origins` and `destinations` are the places as the service describes them; `field` is the distance to the road in
    metres. A place without it stays as it is.
    """
    rows, columns = _far(origins, field, most_m), _far(destinations, field, most_m)
    if not rows and not columns:
        return matrix
    return [
        [NOT_ROUTABLE if row in rows or column in columns else cell for column, cell in enumerate(cells)]
        for row, cells in enumerate(matrix)
    ]


def _far(places: Any, field: str, most_m: float) -> set[int]:
    listed: Sequence[Any] = places if isinstance(places, list) else ()
    return {
        number
        for number, place in enumerate(listed)
        if isinstance(place, dict) and isinstance(place.get(field), int | float) and place[field] > most_m
    }


def _row(name: str, value: Any, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise invalid(name)
    return value


def _way(name: str, seconds: Any, distance: Any, scale: float) -> Route:
    if seconds is None or distance is None:
        return UNREACHABLE
    for value in (seconds, distance):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            raise invalid(name)
    return Route(round(distance * scale), round(seconds))

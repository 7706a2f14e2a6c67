"""Documents of the server for charts."""

from datetime import datetime

import msgspec


class SeriesPoint(msgspec.Struct, frozen=True):
    """Items that ended in one step of time, as items a second, and how long they took."""

    at: datetime
    succeeded: float
    failed: float
    other: float
    p50_ms: float | None = None
    p95_ms: float | None = None


class DestinationSeries(msgspec.Struct, frozen=True):
    """Durations of the items of one destination, by step of time."""

    partition: str
    p50_ms: list[float | None]
    p95_ms: list[float | None]


class Series(msgspec.Struct, frozen=True):
    """Points at equal steps of time; of a batch also the durations at its destinations."""

    step_s: float
    points: list[SeriesPoint] = []
    destinations: list[DestinationSeries] = []

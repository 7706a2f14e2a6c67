"""Query of ingest for charts: the throughput and the durations of items over a span of time."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import (
    BatchId,
    MeasuredPerSecond,
    Milliseconds,
    Owner,
    PartitionName,
    Seconds,
    Time,
)

MAX_POINTS = 300
"""Largest number of points in one reply."""
MAX_CHARTED = 8
"""Largest number of destinations in one reply."""


class SeriesQuery(Message):
    """Query of a service for the points of a chart of one batch, or of all that ended since a time."""

    type: ClassVar[str] = "series.query.v1"
    owner: Owner | None = None
    """Owner of the batch, or of the items; None: items of all owners."""
    batch_id: BatchId | None = None
    """Batch whose items count, from its first to its last one; None: those of all batches."""
    since: Time | None = None
    """Time from which on items of all batches count, at most eight days ago; None: an hour ago."""
    points: Annotated[int, Field(ge=2, le=MAX_POINTS)] = 60
    """Largest number of points."""


class SeriesPoint(Value):
    """Items that ended in one step of time, each kind as items a second."""

    at: Time
    """Beginning of the step."""
    succeeded: MeasuredPerSecond = 0
    failed: MeasuredPerSecond = 0
    other: MeasuredPerSecond = 0
    """Cancelled, expired and duplicate items."""
    p50_ms: Milliseconds | None = None
    """Median duration of an item, estimated from a sample within 10 %; None: no item ran."""
    p95_ms: Milliseconds | None = None


class DestinationSeries(Value):
    """Durations of items at one destination, by the points of the reply."""

    partition: PartitionName
    p50_ms: Annotated[list[Milliseconds | None], Field(max_length=MAX_POINTS)] = []
    """Median durations, each estimated from a sample within 10 %; None: no item ran there."""
    p95_ms: Annotated[list[Milliseconds | None], Field(max_length=MAX_POINTS)] = []


class SeriesReply(Message):
    """Reply with points at equal steps of time, the oldest first. Times without items have points, too."""

    type: ClassVar[str] = "series.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    step_s: Seconds = 0
    """Length of a step; 0: there is no point."""
    points: Annotated[list[SeriesPoint], Field(max_length=MAX_POINTS)] = []
    destinations: Annotated[list[DestinationSeries], Field(max_length=MAX_CHARTED)] = []
    """Destinations of a batch whose items ran most often, the first one most."""

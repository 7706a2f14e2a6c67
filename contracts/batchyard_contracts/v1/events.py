"""Public facts, on the exchange `batchyard.events` under `<type>.<workload>.<owner>`."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import (
    BatchId,
    BatchStatus,
    Cause,
    CircuitState,
    Counts,
    CustomId,
    ItemError,
    Ordinal,
    Owner,
    Priority,
    Result,
    Round,
    StopCause,
    SummaryError,
    WorkloadName,
)


class Event(Message):
    """A fact about a workload and an owner."""

    workload: WorkloadName
    owner: Owner

    def routing_key(self) -> str:
        """The owner comes last, so that a broker's topic permissions can keep owners apart."""
        return f"{self.type}.{self.workload}.{self.owner}"


class BatchStarted(Event):
    """The first items of a round are on their way to a worker."""

    type: ClassVar[str] = "batch.started.v1"
    batch_id: BatchId
    round: Round
    at: datetime


class BatchProgressed(Event):
    """How far a batch is; sent at the first change, then at most 20 times a second."""

    type: ClassVar[str] = "batch.progressed.v1"
    batch_id: BatchId
    round: Round
    status: BatchStatus
    counts: Counts
    items_per_s: float | None = None
    eta_s: float | None = None
    """Seconds to the end at the present rate, when there is one."""
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    """How much of the work is done, where running items tell how far they are: those that ended count as 1."""
    at: datetime
    """When the newest outcome in these counts was recorded."""


class BatchFinished(Event):
    """A round of a batch has ended: every item has its one outcome. There is one such event a round."""

    type: ClassVar[str] = "batch.finished.v1"
    batch_id: BatchId
    round: Round
    result: Result
    counts: Counts
    name: str | None = None
    labels: dict[str, str] = {}
    priority: Priority = "normal"
    stopped: StopCause | None = None
    """Set when a service stopped it."""
    summary: JsonValue = None
    """What the workload made of all results, if it makes a summary; its manifest has the schema."""
    summary_error: SummaryError | None = None
    accepted_at: datetime
    finished_at: datetime


class ItemFailed(Event):
    """An item failed for good in this round. Of a batch that fails much, some failures have no event of their own:
    the next event counts them. For notice as it happens; what is certain is the answer to `failures.query.v1`."""

    type: ClassVar[str] = "item.failed.v1"
    batch_id: BatchId
    ordinal: Ordinal
    custom_id: CustomId | None = None
    round: Round
    attempts: int = 0
    error: ItemError
    partition: str | None = None
    cause: Cause
    skipped: int = 0
    """Failures of the batch since the last event that have no event of their own."""
    at: datetime


class BatchRejected(Event):
    """A command was refused; nothing of it remains. `workload` is `unknown` when it could not be read."""

    type: ClassVar[str] = "batch.rejected.v1"
    batch_id: BatchId | None = None
    code: str
    detail: str
    line: int | None = None
    """The first item at fault, counted from 1."""
    message_id: str | None = None
    at: datetime


class RateChanged(Event):
    """A destination is given another rate. Several steps in the same direction may be told as one."""

    type: ClassVar[str] = "rate.changed.v1"
    limit: str
    value: str
    """The host, account or whatever the limit goes by."""
    before: float | None = None
    """Items a second; None: no limit."""
    after: float | None = None
    cause: str
    at: datetime


class CircuitChanged(Event):
    """A provider is left alone, is tried with one item, or is given items again."""

    type: ClassVar[str] = "circuit.changed.v1"
    limit: str
    value: str
    state: CircuitState
    error: ItemError | None = None
    """What the provider refused with."""
    since: datetime | None = None
    """Since when it refuses; the same in every event until it is closed."""
    tries_at: datetime | None = None
    at: datetime

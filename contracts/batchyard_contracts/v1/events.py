"""Public events on the exchange `batchyard.events`, under the routing key `<type>.<workload>.<owner>`."""

from operator import not_
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from batchyard_contracts.message import Message
from batchyard_contracts.v1.templates import TemplateName
from batchyard_contracts.v1.values import (
    BatchId,
    BatchLabels,
    BatchName,
    BatchStatus,
    Cause,
    CircuitState,
    Count,
    Counts,
    Detail,
    ErrorCode,
    EtaSeconds,
    Forecast,
    ItemError,
    ItemId,
    KeyId,
    KeyName,
    LimitName,
    MeasuredPerSecond,
    MessageId,
    Metadata,
    Ordinal,
    Owner,
    PartitionName,
    Percent,
    Priority,
    Result,
    Round,
    StopReason,
    SummaryError,
    Time,
    WaitReason,
    WorkloadName,
)


class Event(Message):
    """Base of the events: each names its workload and its owner."""

    workload: WorkloadName
    owner: Owner

    def routing_key(self) -> str:
        """Routing key that ends with the owner, so that a broker's topic permissions can separate owners."""
        return f"{self.type}.{self.workload}.{self.owner}"


class BatchStarted(Event):
    """Event sent when the first chunk of a round goes to a worker."""

    type: ClassVar[str] = "batch.started.v1"
    batch_id: BatchId
    round: Round
    at: Time


class BatchProgressed(Event):
    """Event that reports the progress of a batch: at the first change, then at most 50 times a second."""

    type: ClassVar[str] = "batch.progressed.v1"
    batch_id: BatchId
    round: Round
    status: BatchStatus
    counts: Counts
    items_per_s: MeasuredPerSecond | None = None
    eta_s: EtaSeconds | None = None
    """Seconds until the batch ends at the present rate; None while no rate is known."""
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    """Completed share of the work, where running items report their progress; ended items count as 1."""
    percent: Percent | None = None
    """Completed part in percent, rounded down and below 100 before the end; None while the number of items is
    unknown."""
    forecast: Forecast | None = None
    """Newest forecast of the end, which ingest adds for those who watch over HTTP; None in the message itself, since
    the dispatcher sends `batch.forecast.v1`."""
    at: Time
    """Time at which the newest outcome in these counts was recorded."""


class BatchForecast(Event):
    """Event that forecasts the end of a running batch: when the forecast changes notably, and every ten seconds."""

    type: ClassVar[str] = "batch.forecast.v1"
    batch_id: BatchId
    round: Round
    forecast: Forecast


class BatchFinished(Event):
    """Event sent once at the end of each round of a batch, when every item has its one outcome."""

    type: ClassVar[str] = "batch.finished.v1"
    batch_id: BatchId
    round: Round
    result: Result
    counts: Counts
    percent: Percent = 100.0
    """Completed part in percent, so that it can be read like that of `batch.progressed.v1`."""
    name: BatchName | None = None
    labels: BatchLabels = {}
    metadata: Annotated[Metadata, Field(exclude_if=not_)] = {}
    priority: Priority = "normal"
    stop_reason: StopReason | None = None
    """Reason why a service stopped the batch; None: no service did."""
    summary: JsonValue = None
    """Summary of all results, in the form of the manifest's `summary_schema`; None: the workload makes none."""
    summary_error: SummaryError | None = None
    accepted_at: Time
    finished_at: Time


class ItemFailed(Event):
    """Event sent when an item has failed for good in this round.

    A batch with many failures sends an event for some of them only: the next event counts the others in `skipped`. Use
    the reply to `failures.query.v1` where every failure matters.
    """

    type: ClassVar[str] = "item.failed.v1"
    batch_id: BatchId
    ordinal: Ordinal
    custom_id: ItemId | None = None
    round: Round
    attempts: Count = 0
    error: ItemError
    partition: PartitionName | None = None
    cause: Cause
    skipped: Count = 0
    """Number of failures of the batch since its last event that have no event of their own."""
    at: Time


class BatchStuck(Event):
    """Event sent once in a round when items of a batch have no outcome and no service has them to run."""

    type: ClassVar[str] = "batch.stuck.v1"
    batch_id: BatchId
    round: Round
    counts: Counts
    name: BatchName | None = None
    reason: WaitReason
    since: Time
    """Time at which the newest outcome of the batch was recorded."""
    at: Time


class KeyExpiring(Event):
    """Event sent 7 days and 1 day before an API key ends. `workload` is `unknown`: a key is of all workloads."""

    type: ClassVar[str] = "key.expiring.v1"
    key_id: KeyId
    name: KeyName
    expires_at: Time
    last_used_at: Time | None = None
    at: Time


class BatchRejected(Event):
    """Event sent when a command was rejected. `workload` is `unknown` when the command could not be read."""

    type: ClassVar[str] = "batch.rejected.v1"
    batch_id: BatchId | None = None
    code: ErrorCode
    detail: Detail
    line: Count | None = None
    """Number of the first invalid item, counted from 1."""
    message_id: MessageId | None = None
    at: Time


class RateChanged(Event):
    """Event sent when the rate of a destination changes. Several steps in one direction may be combined."""

    type: ClassVar[str] = "rate.changed.v1"
    limit: LimitName
    partition: PartitionName
    """Partition of this limit, such as a host or an account."""
    before: MeasuredPerSecond | None = None
    """Former rate in items a second; None: unlimited."""
    after: MeasuredPerSecond | None = None
    """New rate in items a second; None: unlimited."""
    reason: Detail
    at: Time


class CircuitChanged(Event):
    """Event sent when the circuit of a provider opens, half-opens for one probing item, or closes."""

    type: ClassVar[str] = "circuit.changed.v1"
    limit: LimitName
    partition: PartitionName
    """Partition of this limit, such as a host or an account."""
    state: CircuitState
    error: ItemError | None = None
    """Error with which the provider refuses; None once the circuit is closed."""
    since: Time | None = None
    """Time of the first refusal; it stays the same in every event until the circuit closes."""
    next_probe_at: Time | None = None
    """Time at which one item probes the provider."""
    at: Time


class ScheduleFired(Event):
    """Event sent once for each run of a schedule, when its batch is accepted."""

    type: ClassVar[str] = "schedule.fired.v1"
    schedule: TemplateName
    nominal_at: Time
    """Time for which the run was due; of a run that a client started the time at which it did."""
    origin: Literal["schedule", "manual", "backfill"]
    batch_id: BatchId
    at: Time


class ScheduleMissed(Event):
    """Event sent when times of a schedule have passed for which nothing starts any more."""

    type: ClassVar[str] = "schedule.missed.v1"
    schedule: TemplateName
    first_at: Time
    last_at: Time
    count: Count
    """Number of missed times; at most 1000 are counted."""
    reason: Detail
    at: Time

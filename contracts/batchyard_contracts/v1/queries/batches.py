"""Queries for the state of batches, and for the reasons why they wait."""

from datetime import datetime
from operator import not_
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.queries.paging import MAX_PAGE
from batchyard_contracts.v1.values import (
    BatchId,
    BatchLabels,
    BatchName,
    BatchStatus,
    Count,
    Counts,
    EtaSeconds,
    Forecast,
    MeasuredPerSecond,
    Metadata,
    Owner,
    Percent,
    Priority,
    Result,
    Round,
    Seconds,
    StopReason,
    SummaryError,
    Terms,
    Text,
    Time,
    WaitReason,
    WorkloadName,
)


class BatchState(Value):
    """State of a batch as the aggregator recorded it."""

    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    status: BatchStatus
    round: Round
    result: Result | None = None
    counts: Counts
    name: BatchName | None = None
    labels: BatchLabels = {}
    metadata: Annotated[Metadata, Field(exclude_if=not_)] = {}
    items_per_s: MeasuredPerSecond | None = None
    eta_s: EtaSeconds | None = None
    """Seconds until the batch ends at the present rate; None while no rate is known."""
    percent: Percent | None = None
    """Completed part in percent, rounded down and below 100 before the end; None while the number of items is
    unknown."""
    forecast: Forecast | None = None
    """Newest forecast of the end, which ingest adds to its answers over HTTP; None: there is none."""
    terms: Terms = Terms()
    stop_reason: StopReason | None = None
    """Reason why a service stopped the batch; None: no service did."""
    waiting: WaitReason | None = None
    """Reason why no item of the batch runs at present; None: some run, or all have ended."""
    summary: JsonValue = None
    """Summary of all results of the round; present only if the query names batches."""
    summary_error: SummaryError | None = None
    accepted_at: Time
    controlled_at: Time | None = None
    """Time of the newest command whose effect is shown, such as a pause or a change; None: there was none."""
    finished_at: Time | None = None
    changed_at: Time | None = None
    """Time of the newest outcome that was recorded, or of another change; None: an older aggregator replied."""
    outcomes_deleted_at: Time | None = None
    """Time at which its outcomes and results were deleted, as the retention says; None: they are kept."""

    def end(self, now: datetime) -> BatchFinished | None:
        """Return the event of the end of the round; None while it runs.

        What an older service left out has its default, and the time of the end is `now`.
        """
        if self.status != "finished" or self.result is None:
            return None
        told = self.model_dump(include=set(BatchFinished.model_fields), exclude_none=True)
        return BatchFinished.model_validate({"finished_at": now} | told)


class BatchesQuery(Message):
    """Query for the batches of an owner: those named, or else all, the one that was accepted last first."""

    type: ClassVar[str] = "batches.query.v1"
    owner: Owner
    all_owners: bool = False
    """True for the batches of all owners, whoever `owner` is. Only services may ask for them."""
    batch_ids: Annotated[list[BatchId], Field(max_length=MAX_PAGE)] | None = None
    status: BatchStatus | None = None
    result: Result | None = None
    workload: WorkloadName | None = None
    name: BatchName | None = None
    """Part of the name, in letters of either case."""
    labels: BatchLabels = {}
    """Labels that the batch has, among others."""
    metadata: Annotated[Metadata, Field(exclude_if=not_)] = {}
    """Metadata that the batch has, among others, on every level."""
    statuses: Annotated[list[BatchStatus], Field(max_length=4)] = []
    """States of which the batch is in one, or else has one of `results`."""
    results: Annotated[list[Result], Field(max_length=4)] = []
    """Results of which the batch has one, or else is in one of `statuses`."""
    priorities: Annotated[list[Priority], Field(max_length=3)] = []
    """Priorities of which the batch has one."""
    text: Annotated[Text, StringConstraints(max_length=200)] | None = None
    """Part of the name or of the value of a label, in letters of either case, or the beginning of the id."""
    accepted_from: Time | None = None
    """Time from which on the batch was accepted."""
    accepted_before: Time | None = None
    """Time before which the batch was accepted."""
    idle_s: Seconds | None = None
    """Seconds for which an unfinished batch has had no outcome and no other change; None: any batch."""
    oldest_first: bool = False
    """True: the batch that was accepted first comes first."""
    after: BatchId | None = None
    """Batch that was accepted before those of the reply, for `oldest_first` or for newer ones alone."""
    before: BatchId | None = None
    """Batch that was accepted after those of the reply."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class BatchesReply(Message):
    """Reply with the requested batches that exist and belong to the owner."""

    type: ClassVar[str] = "batches.reply.v1"
    batches: Annotated[list[BatchState], Field(max_length=MAX_PAGE)]
    truncated: bool = False
    """True: there are more within the limit, which did not fit into the message; `before` continues."""


class WaitingQuery(Message):
    """Query for the reasons why batches of an owner wait, and workloads."""

    type: ClassVar[str] = "waiting.query.v1"
    owner: Owner
    batch_ids: Annotated[list[BatchId], Field(max_length=MAX_PAGE)] = []


class WaitingBatch(Value):
    """Unfinished batch of which no item runs."""

    batch_id: BatchId
    reason: WaitReason


class WorkloadCapacity(Value):
    """Workload with the number of live workers that run it."""

    workload: WorkloadName
    workers: Count
    waiting: WaitReason | None = None
    """Reason why no item of any batch runs at present; None: items may run."""


class WaitingReply(Message):
    """Reply with those of the batches that wait, and with all announced workloads."""

    type: ClassVar[str] = "waiting.reply.v1"
    batches: Annotated[list[WaitingBatch], Field(max_length=MAX_PAGE)] = []
    workloads: Annotated[list[WorkloadCapacity], Field(max_length=10_000)] = []


class HeldQuery(Message):
    """Query of the aggregator for those of some unfinished batches of which the dispatcher holds no item."""

    type: ClassVar[str] = "held.query.v1"
    batch_ids: Annotated[list[BatchId], Field(max_length=MAX_PAGE)]


class UnheldBatch(Value):
    """Batch of which the dispatcher holds no item: none waits, none is in flight, none is due for a retry."""

    batch_id: BatchId
    round: Round | None = None
    """Latest round that the dispatcher has begun; None: it does not know the batch."""


class HeldReply(Message):
    """Reply with the batches of which the dispatcher holds nothing."""

    type: ClassVar[str] = "held.reply.v1"
    unheld: Annotated[list[UnheldBatch], Field(max_length=MAX_PAGE)] = []

"""Queries on the exchange `batchyard.queries`, and their replies. A query names a `reply_to` and a correlation id."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Message, Value
from batchyard_contracts.v1.manifest import Adaptive, QuestionName
from batchyard_contracts.v1.values import (
    MAX_CHUNKS,
    MAX_INTEGER,
    MAX_WORKLOADS,
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
    Fence,
    ItemError,
    ItemId,
    ItemResult,
    LimitName,
    MeasuredPerSecond,
    Ordinal,
    Owner,
    PartitionName,
    Priority,
    Result,
    Round,
    Selection,
    SlotCount,
    StopReason,
    SummaryError,
    TerminalStatus,
    Terms,
    Time,
    WaitReason,
    WorkerId,
    WorkloadName,
)
from batchyard_contracts.v1.work import ChunkRates

MAX_PAGE = 1000
"""Largest number of rows in one reply; `BatchesQuery` and `ResultsQuery` go on from a cursor."""

MAX_ORDINALS = 10_000
"""Largest number of ordinals in one reply to `SelectionQuery`."""


Cursor = Annotated[int, Field(ge=-1, le=MAX_INTEGER)]
"""Ordinal after which a page begins; -1: the first page."""

MAX_QUESTION_BYTES = MAX_MESSAGE_BYTES - 1024
"""Largest request of a question, and its largest answer, in bytes of JSON."""


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
    items_per_s: MeasuredPerSecond | None = None
    eta_s: EtaSeconds | None = None
    """Seconds until the batch ends at the present rate; None while no rate is known."""
    terms: Terms = Terms()
    stop_reason: StopReason | None = None
    """Reason why a service stopped the batch; None: no service did."""
    waiting: WaitReason | None = None
    """Reason why no item of the batch runs at present; None: some run, or all have ended."""
    summary: JsonValue = None
    """Summary of all results of the round; present only if the query names batches."""
    summary_error: SummaryError | None = None
    accepted_at: Time
    finished_at: Time | None = None


class BatchesQuery(Message):
    """Query for the batches of an owner: those named, or else all, the one that was accepted last first."""

    type: ClassVar[str] = "batches.query.v1"
    owner: Owner
    batch_ids: Annotated[list[BatchId], Field(max_length=MAX_PAGE)] | None = None
    status: BatchStatus | None = None
    result: Result | None = None
    workload: WorkloadName | None = None
    name: BatchName | None = None
    """Part of the name, in letters of either case."""
    labels: BatchLabels = {}
    """Labels that the batch has, among others."""
    before: BatchId | None = None
    """Batch that was accepted after those of the reply."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class BatchesReply(Message):
    """Reply with the requested batches that exist and belong to the owner."""

    type: ClassVar[str] = "batches.reply.v1"
    batches: Annotated[list[BatchState], Field(max_length=MAX_PAGE)]


class ResultsQuery(Message):
    """Query for outcomes of a batch, in the order of their ordinals, beginning after the ordinal `after`."""

    type: ClassVar[str] = "results.query.v1"
    owner: Owner
    batch_id: BatchId
    after: Cursor = -1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 500
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    cause: Cause | None = None
    """Cause of the failure, as the reply to `failures.query.v1` names it."""


class ResultsReply(Message):
    """Reply with a page of outcomes; `next_after` continues it, and is None after the last one recorded so far."""

    type: ClassVar[str] = "results.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    items: Annotated[list[ItemResult], Field(max_length=MAX_PAGE)] = []
    next_after: Cursor | None = None


class FailuresQuery(Message):
    """Query for the failures of a batch, grouped by cause."""

    type: ClassVar[str] = "failures.query.v1"
    owner: Owner
    batch_id: BatchId


class FailureGroup(Value):
    """Group of failed and expired items with one cause, with one of their messages and their first ordinals."""

    code: ErrorCode
    count: Count
    message: Detail
    ordinals: Annotated[list[Ordinal], Field(max_length=10)]
    cause: Cause | None = None
    partition: PartitionName | None = None
    retryable: bool | None = None
    """True: a retry without changes may succeed, because the items ran out of attempts or time."""


class FailuresReply(Message):
    """Reply with groups of failures, the largest first."""

    type: ClassVar[str] = "failures.reply.v1"
    found: bool = True
    groups: Annotated[list[FailureGroup], Field(max_length=MAX_PAGE)] = []


class SelectionQuery(Message):
    """Query for the items of a selection, in the order of their ordinals, beginning after the ordinal `after`."""

    type: ClassVar[str] = "selection.query.v1"
    owner: Owner
    batch_id: BatchId
    select: Selection | None = None
    """Selection; None: all items that did not succeed, but for those that failed as `needs_review`."""
    after: Cursor = -1
    limit: Annotated[int, Field(ge=0, le=MAX_ORDINALS)] = MAX_ORDINALS
    count: bool = False
    """True: the reply has the number of all selected items in `count`."""


class SelectionReply(Message):
    """Reply with a page of ordinals; `next_after` continues it, and is None at the end."""

    type: ClassVar[str] = "selection.reply.v1"
    found: bool = True
    round: Round = 1
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_ORDINALS)] = []
    next_after: Cursor | None = None
    count: Count | None = None


class ItemsQuery(Message):
    """Query for the present payloads of some items, patches of retries included."""

    type: ClassVar[str] = "items.query.v1"
    owner: Owner
    batch_id: BatchId
    ordinals: Annotated[list[Ordinal], Field(min_length=1, max_length=MAX_PAGE)]


class StoredItem(Value):
    """Item as the dispatcher stores it."""

    ordinal: Ordinal
    payload: JsonValue
    custom_id: ItemId | None = None
    partition: PartitionName = ""


class ItemsReply(Message):
    """Reply with the items in the order of their ordinals. A long reply is truncated: query again for the rest."""

    type: ClassVar[str] = "items.reply.v1"
    items: Annotated[list[StoredItem], Field(max_length=MAX_PAGE)] = []
    gone: Annotated[list[Ordinal], Field(max_length=MAX_PAGE)] = []
    """Ordinals of items that are no longer stored, or whose batch the owner does not have."""


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


class WorkersQuery(Message):
    """Query for the live workers."""

    type: ClassVar[str] = "workers.query.v1"


class WorkerState(Value):
    """State of a worker by its last heartbeat."""

    worker_id: WorkerId
    workloads: Annotated[list[WorkloadName], Field(max_length=MAX_WORKLOADS)]
    chunks: Annotated[list[UUID], Field(max_length=MAX_CHUNKS)]
    running: Count
    stopping: bool
    seen_at: Time
    slots: Annotated[dict[WorkloadName, SlotCount], Field(max_length=MAX_WORKLOADS)] = {}


class WorkersReply(Message):
    """Reply with the live workers: those with a heartbeat within the dispatcher's BATCHYARD_WORKER_TIMEOUT_S."""

    type: ClassVar[str] = "workers.reply.v1"
    workers: Annotated[list[WorkerState], Field(max_length=10_000)]


class RatesQuery(Message):
    """Query for the rates of destinations: of one workload or all, of one partition or all in use."""

    type: ClassVar[str] = "rates.query.v1"
    workload: WorkloadName | None = None
    limit: LimitName | None = None
    partition: Annotated[str, StringConstraints(max_length=255)] | None = None
    """Partition of this limit, such as a host or an account; None: all in use."""
    history: Annotated[int, Field(ge=0, le=200)] = 0
    """Largest number of entries of each rate's history."""


class RateHistoryEntry(Value):
    """Entry of a rate's history: one change and its reason. Rates are in items a second; None: unlimited."""

    at: Time
    before: MeasuredPerSecond | None = None
    after: MeasuredPerSecond | None = None
    reason: Detail


class RateState(Value):
    """State of one limit of a workload at one of its partitions, such as a host or an account."""

    workload: WorkloadName
    limit: LimitName
    partition: PartitionName
    per_second: MeasuredPerSecond | None = None
    """Present rate in items a second; None: unlimited."""
    burst: Count = 1
    reason: Detail
    """Reason for the present rate."""
    adaptive: Adaptive | None = None
    concurrency: Count | None = None
    set_by_operator: bool = False
    """True: an operator's override replaces the manifest's."""
    in_flight: Count = 0
    """Number of items that workers hold."""
    waiting: Count = 0
    """Number of items in memory that wait to be dispatched; more may wait for a retry."""
    backoff_until: Time | None = None
    """Time until which nothing is dispatched, because the destination asked for a pause; None: there is none."""
    backoff_reason: Detail = ""
    circuit: CircuitState = "closed"
    error: ItemError | None = None
    """Error for which the circuit is not closed."""
    next_probe_at: Time | None = None
    """Time at which a single item probes the provider."""
    chunk_size: Count | None = None
    """Present number of items in a chunk."""
    chunk_size_reason: Detail = ""
    history: Annotated[list[RateHistoryEntry], Field(max_length=200)] = []


class RatesReply(Message):
    """Reply with the rates in use, the busiest first."""

    type: ClassVar[str] = "rates.reply.v1"
    rates: Annotated[list[RateState], Field(max_length=MAX_PAGE)]
    truncated: bool = False
    """True: more rates are in use than fit into a reply; name a workload, or a partition."""


class StartPermitQuery(Message):
    """Query of a worker for the permit to start items whose run must not be repeated.

    Once it is granted, none of them is dispatched again: those without a report when the worker is lost fail as
    `needs_review`.
    """

    type: ClassVar[str] = "permit.query.v1"
    chunk_id: UUID
    fence: Fence
    worker_id: WorkerId
    ordinals: Annotated[list[Ordinal], Field(min_length=1, max_length=MAX_ORDINALS)]


class StartPermitReply(Message):
    """Reply to `permit.query.v1`. Not `granted`: another worker has the chunk now, so that this one starts no more of
    these items and sends no final report."""

    type: ClassVar[str] = "permit.reply.v1"
    granted: bool


class LimitsQuery(Message):
    """Query of a worker for the limits that a call outside of any batch has to keep, for example for a question."""

    type: ClassVar[str] = "limits.query.v1"
    workload: WorkloadName
    partition: PartitionName


class LimitsReply(Message):
    """Reply with the rates of the partition, or with the reason why it takes no call at present."""

    type: ClassVar[str] = "limits.reply.v1"
    rates: ChunkRates | None = None
    """Rates that the call shares with the items of the partition; None: there are none."""
    waiting: WaitReason | None = None
    """Reason why no call may be made; None: one may be made."""


class WorkloadQuery(Message):
    """Question to a workload, which a worker that runs it answers at once. `request` fits the question's schema."""

    type: ClassVar[str] = "workload.query.v1"
    workload: WorkloadName
    question: QuestionName
    request: dict[str, JsonValue]

    def routing_key(self) -> str:
        """Routing key that selects the queue of the question."""
        return f"{self.type}.{self.workload}.{self.question}"


class QuestionError(Value):
    """Error of a question. `scope` names the party at fault: the request, or the workload."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)] = ""
    scope: Literal["request", "workload"]


class WorkloadReply(Message):
    """Reply with the workload's answer, or with the error that kept it from answering."""

    type: ClassVar[str] = "workload.reply.v1"
    answer: JsonValue = None
    error: QuestionError | None = None
    """None: `answer` is the answer."""


class QueryFailed(Message):
    """Reply to a query that could not be answered; `detail` gives the reason."""

    type: ClassVar[str] = "query.failed.v1"
    code: ErrorCode
    detail: Detail

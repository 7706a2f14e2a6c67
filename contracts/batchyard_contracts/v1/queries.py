"""Questions and answers, on the exchange `batchyard.queries`: a request names a `reply_to` and a correlation id."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.values import (
    BatchId,
    BatchStatus,
    Cause,
    CircuitState,
    Counts,
    ErrorCode,
    ItemError,
    ItemResult,
    Ordinal,
    Owner,
    Priority,
    Result,
    Round,
    Selection,
    SlotCount,
    StopCause,
    SummaryError,
    TerminalStatus,
    Terms,
    WorkloadName,
)

MAX_PAGE = 1000
"""Rows of one answer at the most; `BatchesQuery` and `ResultsQuery` go on from a cursor."""

MAX_ORDINALS = 10_000
"""Ordinals in one answer to `SelectionQuery`."""


class BatchState(Value):
    """A batch as the ledger knows it."""

    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    status: BatchStatus
    round: Round
    result: Result | None = None
    counts: Counts
    name: str | None = None
    labels: dict[str, str] = {}
    items_per_s: float | None = None
    eta_s: float | None = None
    terms: Terms = Terms()
    stopped: StopCause | None = None
    summary: JsonValue = None
    """What the workload made of all results of the round. A list of batches leaves it out: name the batch."""
    summary_error: SummaryError | None = None
    accepted_at: datetime
    finished_at: datetime | None = None


class BatchesQuery(Message):
    """Batches of an owner, newest first; or those named."""

    type: ClassVar[str] = "batches.query.v1"
    owner: Owner
    batch_ids: Annotated[list[BatchId], Field(max_length=MAX_PAGE)] | None = None
    status: BatchStatus | None = None
    workload: WorkloadName | None = None
    before: BatchId | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class BatchesReply(Message):
    """The batches asked for that exist and belong to the owner."""

    type: ClassVar[str] = "batches.reply.v1"
    batches: list[BatchState]


class ResultsQuery(Message):
    """Outcomes of a batch in the order of their ordinals, from those after `after`."""

    type: ClassVar[str] = "results.query.v1"
    owner: Owner
    batch_id: BatchId
    after: int = -1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 500
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None


class ResultsReply(Message):
    """A page of outcomes; `next_after` goes on from there, and is absent at the end of what is known now."""

    type: ClassVar[str] = "results.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    items: list[ItemResult] = []
    next_after: int | None = None


class FailuresQuery(Message):
    """What failed in a batch, by cause."""

    type: ClassVar[str] = "failures.query.v1"
    owner: Owner
    batch_id: BatchId


class FailureGroup(Value):
    """Failed and expired items with the same cause, with one of their messages and the first of their ordinals."""

    code: ErrorCode
    count: int
    message: str
    ordinals: Annotated[list[int], Field(max_length=10)]
    cause: Cause | None = None
    partition: str | None = None
    retryable: bool | None = None
    """Whether running them again as they are may help: they ran out of attempts or time, no input was refused."""


class FailuresReply(Message):
    """Groups of failures, the largest first."""

    type: ClassVar[str] = "failures.reply.v1"
    found: bool = True
    groups: list[FailureGroup] = []


class SelectionQuery(Message):
    """The items of a selection in the order of their ordinals, from those after `after`."""

    type: ClassVar[str] = "selection.query.v1"
    owner: Owner
    batch_id: BatchId
    select: Selection | None = None
    """Unset: all that did not succeed."""
    after: int = -1
    limit: Annotated[int, Field(ge=0, le=MAX_ORDINALS)] = MAX_ORDINALS
    count: bool = False
    """Count all of them too, in `count` of the reply."""


class SelectionReply(Message):
    """A page of ordinals; `next_after` goes on from there, and is absent at the end."""

    type: ClassVar[str] = "selection.reply.v1"
    found: bool = True
    round: Round = 1
    ordinals: list[Ordinal] = []
    next_after: int | None = None
    count: int | None = None


class ItemsQuery(Message):
    """The payloads of some items, as they would run now."""

    type: ClassVar[str] = "items.query.v1"
    owner: Owner
    batch_id: BatchId
    ordinals: Annotated[list[Ordinal], Field(min_length=1, max_length=MAX_PAGE)]


class KeptItem(Value):
    """An item as the dispatcher keeps it."""

    ordinal: Ordinal
    payload: JsonValue
    custom_id: str | None = None
    partition: str = ""


class ItemsReply(Message):
    """The items in the order of their ordinals. A long answer is cut short: ask again for those that are missing."""

    type: ClassVar[str] = "items.reply.v1"
    items: list[KeptItem] = []
    gone: list[Ordinal] = []
    """Items that are no longer kept, or of a batch that the owner does not have."""


class WorkersQuery(Message):
    """The workers that live."""

    type: ClassVar[str] = "workers.query.v1"


class WorkerState(Value):
    """A worker as its last heartbeat said."""

    worker_id: str
    workloads: list[WorkloadName]
    chunks: list[UUID]
    running: int
    stopping: bool
    seen_at: datetime
    slots: dict[WorkloadName, SlotCount] = {}


class WorkersReply(Message):
    """The workers that live: each was heard of lately (BATCHYARD_WORKER_TIMEOUT_S of the dispatcher)."""

    type: ClassVar[str] = "workers.reply.v1"
    workers: list[WorkerState]


class PaceQuery(Message):
    """How fast items go to their destinations, and why: of one workload or all, of one partition or those in use."""

    type: ClassVar[str] = "pace.query.v1"
    workload: WorkloadName | None = None
    limit: str | None = None
    value: Annotated[str, StringConstraints(max_length=255)] | None = None
    history: Annotated[int, Field(ge=0, le=200)] = 0
    """So many lines of each history at most."""


class PaceChange(Value):
    """A line of history: a rate became another, and why. Rates are items a second; None: no limit."""

    at: datetime
    before: float | None = None
    after: float | None = None
    cause: str


class PaceState(Value):
    """One limit of a workload at one of its values: a host, an account."""

    workload: WorkloadName
    limit: str
    value: str
    per_second: float | None = None
    """None: no rate holds."""
    burst: int = 1
    cause: str
    """Why the rate is as it is."""
    adaptive: Adaptive | None = None
    concurrency: int | None = None
    by_operator: bool = False
    out: int = 0
    """Items that are out at workers."""
    waiting: int = 0
    """Items that wait in memory to go out; more may wait for a retry."""
    parked_until: datetime | None = None
    parked_because: str = ""
    circuit: CircuitState = "closed"
    error: ItemError | None = None
    """Why the circuit is not closed."""
    tries_at: datetime | None = None
    """When a single item tries the provider again."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """How many items travel together now."""
    chunk_because: str = ""
    history: list[PaceChange] = []


class PaceReply(Message):
    """Those in use, the busiest first."""

    type: ClassVar[str] = "pace.reply.v1"
    paces: Annotated[list[PaceState], Field(max_length=MAX_PAGE)]
    more: bool = False
    """There are more than fit into an answer: name a workload, or a partition."""


class BeginQuery(Message):
    """A worker asks whether it may begin items whose run must not be repeated: from the answer on, none of them is
    given out again. What is not reported of them when the worker is lost fails as `needs_review`."""

    type: ClassVar[str] = "begin.query.v1"
    chunk_id: UUID
    fence: int
    worker_id: str
    ordinals: Annotated[list[Ordinal], Field(min_length=1, max_length=MAX_ORDINALS)]


class BeginReply(Message):
    """Not `granted`: the chunk went to another worker meanwhile. Begin nothing more of it that must not be repeated,
    and send no final report."""

    type: ClassVar[str] = "begin.reply.v1"
    granted: bool


class QueryFailed(Message):
    """A question that could not be answered; `detail` says why."""

    type: ClassVar[str] = "query.failed.v1"
    code: str
    detail: str

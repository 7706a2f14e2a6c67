"""What the services tell each other, on the exchange `batchyard.flow`."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.manifest import Manifest, Pointer
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    BatchId,
    ItemError,
    NewItem,
    Ordinal,
    Owner,
    Patch,
    Priority,
    Reuse,
    Round,
    Seconds,
    Selection,
    SlotCount,
    StopCause,
    SummaryError,
    Targets,
    Terms,
    WorkloadName,
)


class BatchAccepted(Message):
    """Ingest took a batch. For a sealed batch it follows its pages: until it is there, none of them may run."""

    type: ClassVar[str] = "batch.accepted.v1"
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    total: int | None = None
    """The number of items, once the batch is sealed."""
    name: str | None = None
    labels: dict[str, str] = {}
    notify: Targets = Targets()
    terms: Terms = Terms()
    reuse: Reuse = Reuse()
    summarize: bool | None = None
    """True: its workload makes a summary of the results before a round of it ends."""
    unit: str | None = None
    """What its items are made of, in the plural, if their results say how many."""
    sourced: bool | None = None
    """True: its item 0 is a source, which finds the others."""
    accepted_at: datetime


class PageItem(Value):
    """An item under its ordinal."""

    ordinal: Ordinal
    payload: Any
    custom_id: str | None = None
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    """The fingerprint of what makes it the same as items of other batches, where the batch asks for it."""
    source: bool | None = None
    """True: its payload is the source of the batch, see `SourceExpanded`."""


class Segment(Value):
    """The items of a page that go to one partition."""

    partition: str
    items: list[PageItem]


class ItemsPage(Message):
    """Some items of a batch. `page` counts from 0 in a batch: the same page again is the same items."""

    type: ClassVar[str] = "items.page.v1"
    batch_id: BatchId
    workload: WorkloadName
    page: Annotated[int, Field(ge=0)]
    segments: list[Segment]


class SourceExpanded(Message):
    """Items that a worker found by the source of a batch, sent before it reports on that. `sequence` counts 0, 1, 2 …
    in a batch: of two under one number the first holds, since a source whose worker was lost is asked again."""

    type: ClassVar[str] = "source.expanded.v1"
    batch_id: BatchId
    owner: Owner
    sequence: Annotated[int, Field(ge=0)]
    items: Annotated[list[NewItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    last: bool
    """No more follow."""
    units: Annotated[int, Field(ge=0)] | None = None
    """With the last: of how many units all items are made."""


class SourceEnded(Message):
    """The ledger has it that the source of a batch did not succeed: no items follow those that it has."""

    type: ClassVar[str] = "source.ended.v1"
    batch_id: BatchId
    owner: Owner


class BatchSealed(Message):
    """No more items follow."""

    type: ClassVar[str] = "batch.sealed.v1"
    batch_id: BatchId
    total: int
    units: int | None = None
    """Of how many units its items are made, if that is known."""


class BatchWithdrawn(Message):
    """A batch whose pages were sent before its submission failed: forget them, they must never run."""

    type: ClassVar[str] = "batch.withdrawn.v1"
    batch_id: BatchId


class BatchControlled(Message):
    """A command to steer a batch that ingest has checked and passes on."""

    type: ClassVar[str] = "batch.controlled.v1"
    batch_id: BatchId
    owner: Owner
    action: Literal["pause", "resume", "cancel", "retry", "change"]
    priority: Priority | None = None
    round: Round | None = None
    """The round that was meant, so that a command is not applied to a later one."""
    terms: Terms = Terms()
    """With `change`: what is set of them."""
    clear: list[str] = []
    """With `change`: the names of terms that are taken back."""
    select: Selection | None = None
    """With `retry`: only these items."""
    except_ordinals: list[Ordinal] = []
    """With `retry`: not these, though they are selected."""
    patch: Patch = []
    """With `retry`: changes the payloads of what runs again."""
    at: datetime


class BatchStopped(Message):
    """A service stops a round by itself: what is left of it expires or is cancelled."""

    type: ClassVar[str] = "batch.stopped.v1"
    batch_id: BatchId
    owner: Owner
    round: Round
    cause: StopCause
    detail: str
    """What was met, in a sentence."""
    at: datetime


class SettledItem(Value):
    """An item that ended without (another) run."""

    ordinal: Ordinal
    custom_id: str | None = None
    attempts: int = 0
    error: ItemError | None = None
    duplicate_of: Ordinal | None = None
    duplicate_of_batch: BatchId | None = None
    partition: str | None = None


class ItemsSettled(Message):
    """Items that ended by a decision: cancelled, expired, duplicate of another, or failed after the last attempt."""

    type: ClassVar[str] = "items.settled.v1"
    batch_id: BatchId
    round: Round
    status: Literal["failed", "cancelled", "expired", "duplicate"]
    items: list[SettledItem]
    cause: StopCause | None = None
    """Set when they ended because the batch was stopped."""


class CacheInvalidated(Message):
    """Known results are to be forgotten, of one payload or of the whole workload. What a worker needs to know of the
    workload comes along, as any of them may do it."""

    type: ClassVar[str] = "cache.invalidated.v1"
    workload: WorkloadName
    version: str
    dedup: Pointer | None = None
    cache_ttl_s: int
    payload: Any = None
    at: datetime


class ItemsReopened(Message):
    """The ledger opened a new round: these items are to run again, with their payloads patched if there is a patch."""

    type: ClassVar[str] = "items.reopened.v1"
    batch_id: BatchId
    round: Round
    ordinals: list[Ordinal]
    asked_at: datetime | None = None
    """When the retry was asked for: what the batch was told later holds for the new round."""
    patch: Patch = []


class ItemOutcome(Value):
    """What came of one run of one item. `retry` and `continued` are not the end of it."""

    ordinal: Ordinal
    status: Literal["succeeded", "failed", "retry", "continued", "cancelled"]
    custom_id: str | None = None
    result: Any = None
    error: ItemError | None = None
    delay_s: Seconds | None = None
    """With `retry`: the wait that the destination asked for; with `continued`: when to ask again."""
    guessed: bool | None = None
    """True: the destination asked for a pause and did not say for how long; `delay_s` is a guess."""
    state: JsonValue = None
    """With `continued`: what the next run is given."""
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    """With `continued`: how far the item is."""
    elapsed_ms: int = 0
    cached: bool = False
    units: Annotated[int, Field(ge=0)] | None = None
    """Of a success: how many units its result has, where the workload counts that."""


class Felt(Value):
    """How a destination bore the items of a report: what its pace is learned from."""

    waited_ms: float = 0
    """How long an item waited in the mean for the moment at which its limits let it start."""
    median_ms: float | None = None
    """The median of the run times of those that the destination answered."""
    slow_ms: float | None = None
    """The time that one in twenty of them took longer than."""
    answered: Annotated[int, Field(ge=0)] = 0
    refused: Annotated[int, Field(ge=0)] = 0
    """Too many calls, it said."""
    broken: Annotated[int, Field(ge=0)] = 0
    """No answer, or none in time."""
    remaining: Annotated[int, Field(ge=0)] | None = None
    """So many calls it takes, it said last, within `reset_s` seconds."""
    reset_s: Annotated[float, Field(ge=0)] | None = None


class ChunkProcessed(Message):
    """A worker's report on a chunk. A long chunk is reported in parts; the last one is `final`."""

    type: ClassVar[str] = "chunk.processed.v1"
    chunk_id: UUID
    fence: int
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    partition: str
    round: Round
    attempt: Annotated[int, Field(ge=1)]
    worker_id: str
    final: bool = True
    busy_ms: float = 0
    """The run times of these outcomes, added up: what the chunk's size is learned from."""
    ended: Annotated[int, Field(ge=0)] | None = None
    """How many outcomes follow, given only if each has another ordinal and none is `retry` or `continued`: who merely
    wants to know what runs again need not read them. Write it before `outcomes`."""
    felt: Felt | None = None
    """Of a chunk that came with a pace, or whose destination said how many calls are left."""
    outcomes: list[ItemOutcome]


class ChunkReturned(Message):
    """A worker does not run (the rest of) a chunk, and has acknowledged it: it is to be given out again.

    `redelivered`: it was delivered before, so that who took it then may have been lost with it. This message goes the
    way of reports, behind those that the lost worker sent. `stopping`: this worker ends.
    """

    type: ClassVar[str] = "chunk.returned.v1"
    chunk_id: UUID
    fence: int
    batch_id: BatchId
    workload: WorkloadName
    worker_id: str
    reason: Literal["redelivered", "stopping"]


class SummaryMade(Message):
    """The answer to `summary.wanted.v1`: the summary, or why there is none. The first one of a round counts."""

    type: ClassVar[str] = "summary.made.v1"
    batch_id: BatchId
    workload: WorkloadName
    round: Round
    worker_id: str
    summary: JsonValue = None
    """At most `SUMMARY_MAX_BYTES` of JSON."""
    error: SummaryError | None = None


class WorkerAnnounced(Message):
    """A worker has started and says what it can do."""

    type: ClassVar[str] = "worker.announced.v1"
    worker_id: str
    manifests: list[Manifest]
    started_at: datetime


class WorkerHeartbeat(Message):
    """A worker lives; `chunks` are those that it holds."""

    type: ClassVar[str] = "worker.heartbeat.v1"
    worker_id: str
    workloads: list[WorkloadName]
    chunks: list[UUID]
    running: int = 0
    """Items of these chunks that have no outcome yet."""
    slots: dict[WorkloadName, SlotCount] = {}
    stopping: bool = False
    isolates: bool = False
    """Whether it takes the quarantined chunks of its workloads, see `topology.quarantine_queue`."""
    at: datetime

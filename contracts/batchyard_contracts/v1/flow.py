"""Messages between the services, on the exchange `batchyard.flow`."""

import json
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, ValidationError

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.manifest import Manifest, Pointer
from batchyard_contracts.v1.values import (
    MAX_CHUNKS,
    MAX_ITEMS_PER_COMMAND,
    MAX_SELECTED,
    MAX_WORKLOADS,
    Attempt,
    BatchId,
    BatchLabels,
    BatchName,
    ClearedTerms,
    Count,
    Detail,
    Fence,
    ItemError,
    ItemId,
    ItemUnits,
    Milliseconds,
    NewItem,
    NotificationTargets,
    Ordinal,
    Owner,
    PartitionName,
    Patch,
    Priority,
    ReportedCount,
    ReportedItemId,
    Reuse,
    Round,
    Seconds,
    Selection,
    SlotCount,
    StopReason,
    SummaryError,
    Terms,
    Time,
    UnitCount,
    UnitName,
    Version,
    WorkerId,
    WorkloadName,
)


class PageItem(Value):
    """Item of a page, with its ordinal in the batch."""

    ordinal: Ordinal
    payload: Any
    custom_id: ItemId | None = None
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Fingerprint by which equal items of other batches are found; None: the batch does not ask for it."""
    source: bool | None = None
    """True: the payload is the source of the batch, see `SourceExpanded`."""


class Segment(Value):
    """Items of a page that belong to one partition."""

    partition: PartitionName
    items: Annotated[list[PageItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]


class BatchAccepted(Message):
    """Message sent when ingest has accepted a batch. A small sealed batch has its items in it. For a large one it
    follows the pages, none of which runs before."""

    type: ClassVar[str] = "batch.accepted.v1"
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    total: Count | None = None
    """Number of items; None while the batch is open."""
    name: BatchName | None = None
    labels: BatchLabels = {}
    notify: NotificationTargets = NotificationTargets()
    terms: Terms = Terms()
    reuse: Reuse = Reuse()
    has_summary: bool | None = None
    """True: its workload makes a summary of the results before each round ends."""
    unit: UnitName | None = None
    """Name of the unit that its results count, in the plural; None: they count none."""
    has_source: bool | None = None
    """True: item 0 is the source, from which a worker finds the other items."""
    accepted_at: Time
    segments: Annotated[list[Segment], Field(max_length=MAX_ITEMS_PER_COMMAND)] | None = None
    """All items of the batch that are to run, as its page 0; None: they come in messages of their own. With items, the
    message has the routing key of `topology.WHOLE`."""


class ItemsPage(Message):
    """Page of a batch's items. `page` counts from 0 in a batch; a repeated page has equal items."""

    type: ClassVar[str] = "items.page.v1"
    batch_id: BatchId
    workload: WorkloadName
    page: Count
    segments: Annotated[list[Segment], Field(max_length=MAX_ITEMS_PER_COMMAND)]


class SourceExpanded(Message):
    """Items that a worker found by the source of a batch, sent before its report on the source.

    `sequence` counts 0, 1, 2 … in a batch. A source runs again when its worker is lost, so that two messages may have
    one number: the first counts.
    """

    type: ClassVar[str] = "source.expanded.v1"
    batch_id: BatchId
    owner: Owner
    sequence: Count
    items: Annotated[list[NewItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    last: bool
    """True: no more items follow."""
    units: UnitCount | None = None
    """Number of units of all items; set in the last message only."""


class SourceEnded(Message):
    """Message sent when the source of a batch did not succeed: no further items follow."""

    type: ClassVar[str] = "source.ended.v1"
    batch_id: BatchId
    owner: Owner


class BatchSealed(Message):
    """Message sent when a batch is sealed: no more items follow."""

    type: ClassVar[str] = "batch.sealed.v1"
    batch_id: BatchId
    total: Count
    units: UnitCount | None = None
    """Number of units of all items; None: unknown."""


class BatchWithdrawn(Message):
    """Message sent when a submission failed after its pages were sent: they must never run."""

    type: ClassVar[str] = "batch.withdrawn.v1"
    batch_id: BatchId


class BatchResend(Message):
    """Request of the aggregator to ingest to send `batch.accepted.v1` of a batch again: items of it are missing."""

    type: ClassVar[str] = "batch.resend.v1"
    batch_id: BatchId


class NotificationRequested(Message):
    """Request to tell the receivers of a batch that a round of it has ended. Batches without receivers have none."""

    type: ClassVar[str] = "notification.requested.v1"
    event: BatchFinished
    notify: NotificationTargets | None = None
    """Receivers; None: those that the notifier has recorded for a batch that an earlier version accepted."""


class BatchControlled(Message):
    """Control command that ingest has validated and passes on."""

    type: ClassVar[str] = "batch.controlled.v1"
    batch_id: BatchId
    owner: Owner
    action: Literal["pause", "resume", "cancel", "retry", "change"]
    priority: Priority | None = None
    round: Round | None = None
    """Round to which the command applies; it is ignored in a later one. None: `change`, which applies to all."""
    terms: Terms = Terms()
    """Terms that `change` sets."""
    clear: ClearedTerms = []
    """Names of the terms that `change` removes."""
    select: Selection | None = None
    """Items that `retry` runs again; None: all that did not succeed."""
    except_ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED + 1)] = []
    """Selected items that `retry` leaves out."""
    patch: Patch = []
    """JSON Patch that `retry` applies to the payloads."""
    at: Time
    """Time that orders the commands of the batch: each is later than the one before, whichever process accepted it."""


class BatchStopped(Message):
    """Message sent when a service stops a round: its remaining items expire or are cancelled."""

    type: ClassVar[str] = "batch.stopped.v1"
    batch_id: BatchId
    owner: Owner
    round: Round
    reason: StopReason
    detail: Detail
    """Sentence that explains the reason."""
    at: Time


class SettledItem(Value):
    """Item that ended without running, or without running again."""

    ordinal: Ordinal
    custom_id: ItemId | None = None
    attempts: Count = 0
    error: ItemError | None = None
    duplicate_of: Ordinal | None = None
    duplicate_of_batch: BatchId | None = None
    partition: PartitionName | None = None


class ItemsSettled(Message):
    """Items that a service ended: cancelled, expired, duplicate of another, or failed after the last attempt."""

    type: ClassVar[str] = "items.settled.v1"
    batch_id: BatchId
    round: Round
    status: Literal["failed", "cancelled", "expired", "duplicate"]
    items: Annotated[list[SettledItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    reason: StopReason | None = None
    """Reason why the batch was stopped; None: the items did not end by that."""


class CacheInvalidated(Message):
    """Order to remove cached results: the result of one payload, or all of the workload. Any worker can carry it
    out."""

    type: ClassVar[str] = "cache.invalidated.v1"
    workload: WorkloadName
    version: Version
    dedup: Pointer | None = None
    cache_ttl_s: Count
    payload: Any = None
    at: Time


class ItemsReopened(Message):
    """Items of a new round, which run again with their payloads patched."""

    type: ClassVar[str] = "items.reopened.v1"
    batch_id: BatchId
    round: Round
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    requested_at: Time | None = None
    """Time at which the retry was requested; control commands after it apply to the new round."""
    patch: Patch = []


class ItemOutcome(Value):
    """Outcome of one run of one item. An item with `retry` or `continued` runs again; all others are terminal."""

    ordinal: Ordinal
    status: Literal["succeeded", "failed", "retry", "continued", "cancelled"]
    custom_id: ReportedItemId | None = None
    result: Any = None
    error: ItemError | None = None
    delay_s: Seconds | None = None
    """Seconds until the next run: with `retry` the wait that the destination asked for, with `continued` the delay."""
    guessed: bool | None = None
    """True: the destination asked for a pause without a duration, so that `delay_s` is a guess."""
    state: JsonValue = None
    """State that the next run receives; set with `continued`."""
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    """Completed share of the item; set with `continued`."""
    elapsed_ms: ReportedCount = 0
    cached: bool = False
    units: ItemUnits | None = None
    """Number of units in the result of a success; None: the workload counts none."""


class DestinationFeedback(Value):
    """Measurements of a destination over the items of a report, from which its rate adapts."""

    mean_wait_ms: Milliseconds = 0
    """Mean time that an item waited until its limits let it start."""
    median_ms: Milliseconds | None = None
    """Median run time of the items that the destination answered."""
    p95_ms: Milliseconds | None = None
    """95th percentile of these run times."""
    answered: Count = 0
    """Number of items that the destination answered."""
    rate_limited: Count = 0
    """Number of items that the destination refused because of its rate limit."""
    unanswered: Count = 0
    """Number of items without an answer, or without one in time."""
    remaining: Count | None = None
    """Number of calls that the destination accepts within `reset_s` seconds, as it stated last; None: unknown."""
    reset_s: Seconds | None = None
    """Seconds until the destination accepts more calls; set together with `remaining`."""


class ChunkProcessed(Message):
    """Report of a worker on a chunk. A long chunk is reported in parts; the last one is `final`."""

    type: ClassVar[str] = "chunk.processed.v1"
    chunk_id: UUID
    fence: Fence
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    partition: PartitionName
    round: Round
    attempt: Attempt
    worker_id: WorkerId
    final: bool = True
    busy_ms: Milliseconds = 0
    """Sum of the run times of these outcomes, from which the size of chunks adapts."""
    ended: Count | None = None
    """Number of outcomes, set only if their ordinals differ and none is `retry` or `continued`. It precedes `outcomes`
    in the body, so that a reader that looks for items to run again can skip them."""
    feedback: DestinationFeedback | None = None
    """Measurements of the destination; set for a chunk with rates, and where the destination stated its remaining
    calls."""
    outcomes: Annotated[list[ItemOutcome], Field(max_length=MAX_ITEMS_PER_COMMAND)]

    @classmethod
    def decode_leniently(cls, body: bytes) -> Self:
        """Parse a report with unreadable parts, such as a text with half a surrogate pair.

        An unreadable outcome fails its own item as `outcome_unreadable`, or stays a `retry`; unreadable feedback is
        left out. Raises `pydantic.ValidationError` if the report does not say which items it is about.
        """
        try:
            return cls.decode(body)
        except ValidationError as error:
            try:
                fields = json.loads(body)  # reads what other readers refuse
                fields["outcomes"] = [_readable_outcome(outcome) for outcome in fields["outcomes"]]
                if (feedback := fields.get("feedback")) is not None:
                    fields["feedback"] = _readable_feedback(feedback)
                return cls.model_validate(fields)
            except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
                raise error from None


_UNREADABLE = ItemError(
    code="outcome_unreadable",
    message="The worker's report on this item cannot be read: for example a text with half a surrogate pair, or "
    "hundreds of levels of nesting. Correct the worker.",
)


def _readable_outcome(outcome: dict[str, Any]) -> ItemOutcome:
    """Return an outcome; that of its item's failure if it cannot be read. A state that is lost would repeat a call."""
    try:
        return ItemOutcome.model_validate_json(_json(outcome))
    except (ValueError, RecursionError):
        status = "retry" if outcome["status"] == "retry" else "failed"
        return ItemOutcome(ordinal=outcome["ordinal"], status=status, error=_UNREADABLE)


def _readable_feedback(feedback: object) -> DestinationFeedback | None:
    try:
        return DestinationFeedback.model_validate_json(_json(feedback))
    except (ValueError, RecursionError):
        return None


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class ChunkReturned(Message):
    """Chunk that a worker acknowledged without running (all of) it, so that the dispatcher sends it again.

    `redelivered`: the chunk had been delivered before, and its former worker may be lost. This message takes the route
    of reports, so that it arrives after those of the lost worker. `stopping`: this worker stops.
    """

    type: ClassVar[str] = "chunk.returned.v1"
    chunk_id: UUID
    fence: Fence
    batch_id: BatchId
    workload: WorkloadName
    worker_id: WorkerId
    reason: Literal["redelivered", "stopping"]


class SummaryCompleted(Message):
    """Reply to `summary.requested.v1`: the summary, or the reason why there is none. The first of a round counts."""

    type: ClassVar[str] = "summary.completed.v1"
    batch_id: BatchId
    workload: WorkloadName
    round: Round
    worker_id: WorkerId
    summary: JsonValue = None
    """Summary of at most `SUMMARY_MAX_BYTES` of JSON; None: see `error`."""
    error: SummaryError | None = None


class WorkerAnnounced(Message):
    """Message sent when a worker starts, with the manifests of the workloads that it runs."""

    type: ClassVar[str] = "worker.announced.v1"
    worker_id: WorkerId
    manifests: Annotated[list[Manifest], Field(max_length=MAX_WORKLOADS)]
    started_at: Time


class NotifierAnnounced(Message):
    """Message sent when a notifier starts: the notifications that its settings allow it to send."""

    type: ClassVar[str] = "notifier.announced.v1"
    emails: bool
    """False: no SMTP server is set, so that no e-mail can be sent."""
    webhooks: bool
    """False: no key for signatures is set, so that no webhook can be sent."""
    webhook_networks: Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=1000)] = []
    """Private networks that webhooks may reach, in CIDR notation."""
    started_at: Time


class WorkerHeartbeat(Message):
    """Heartbeat of a worker; `chunks` are the chunks that it holds."""

    type: ClassVar[str] = "worker.heartbeat.v1"
    worker_id: WorkerId
    workloads: Annotated[list[WorkloadName], Field(max_length=MAX_WORKLOADS)]
    chunks: Annotated[list[UUID], Field(max_length=MAX_CHUNKS)]
    running: Count = 0
    """Number of items of these chunks without an outcome."""
    slots: Annotated[dict[WorkloadName, SlotCount], Field(max_length=MAX_WORKLOADS)] = {}
    stopping: bool = False
    """True: the worker drains before it stops, and takes no more chunks."""
    handles_quarantine: bool = False
    """True: the worker consumes the quarantined chunks of its workloads, see `topology.quarantine_queue`."""
    takes_bundles: bool = False
    """True: the worker takes bundles of chunks apart. A workload gets bundles while all its workers do."""

    at: Time

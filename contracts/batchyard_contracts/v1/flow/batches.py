"""Messages about a batch as a whole, from its acceptance to its stop."""

from operator import not_
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.flow.items import Segment
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    MAX_SELECTED,
    BatchId,
    BatchLabels,
    BatchName,
    ClearedTerms,
    Count,
    CustomId,
    Detail,
    Metadata,
    NotificationTargets,
    Ordinal,
    Owner,
    Patch,
    Priority,
    Remedy,
    Reuse,
    Round,
    Selection,
    StopReason,
    Terms,
    Time,
    UnitCount,
    UnitName,
    WorkloadName,
)


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
    metadata: Annotated[Metadata, Field(exclude_if=not_)] = {}
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


class BatchRemedied(Message):
    """Remedy by which an operator helps a round of a batch that makes no progress."""

    type: ClassVar[str] = "batch.remedied.v1"
    batch_id: BatchId
    owner: Owner
    round: Round
    """Round that it helps; it is ignored in a later one."""
    remedy: Remedy
    at: Time


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
    forced: bool = False
    """True of a `cancel` by which an operator ends the batch: its items end without waiting for the dispatcher."""
    at: Time
    """Time that orders the commands of the batch: each is later than the one before, whichever process accepted it."""


class ResultsAccepted(Message):
    """Refused results of a finished batch that somebody accepted: their items succeed, in the next round."""

    type: ClassVar[str] = "results.accepted.v1"
    batch_id: BatchId
    owner: Owner
    round: Round
    """Round that has ended."""
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_SELECTED)] = []
    custom_ids: Annotated[list[CustomId], Field(max_length=MAX_SELECTED)] = []
    """Items whose results are accepted; without both fields all."""
    at: Time
    """Time that orders the commands of the batch."""


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

"""Messages about items: the pages in which they travel, those that a service ended, those that run again."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_serializer

from batchyard_contracts.message import Message, Value, write_null_payload
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    BatchId,
    Count,
    ItemError,
    ItemId,
    Ordinal,
    PartitionName,
    Patch,
    Round,
    StopReason,
    Time,
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

    _write = model_serializer(mode="wrap")(write_null_payload)


class Segment(Value):
    """Items of a page that belong to one partition."""

    partition: PartitionName
    items: Annotated[list[PageItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]


class ItemsPage(Message):
    """Page of a batch's items. `page` counts from 0 in a batch; a repeated page has equal items."""

    type: ClassVar[str] = "items.page.v1"
    batch_id: BatchId
    workload: WorkloadName
    page: Count
    segments: Annotated[list[Segment], Field(max_length=MAX_ITEMS_PER_COMMAND)]


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


class ItemsReopened(Message):
    """Items of a new round, which run again with their payloads patched."""

    type: ClassVar[str] = "items.reopened.v1"
    batch_id: BatchId
    round: Round
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    requested_at: Time | None = None
    """Time at which the retry was requested; control commands after it apply to the new round."""
    patch: Patch = []

"""Queries for the stored payloads of items, and for what the dispatcher does with them."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, model_serializer

from batchyard_contracts.message import Message, Value, write_null_payload
from batchyard_contracts.v1.queries.paging import MAX_PAGE, Cursor
from batchyard_contracts.v1.values import (
    MAX_PARTITION_NAME,
    Attempt,
    BatchId,
    CustomId,
    ItemError,
    ItemId,
    Ordinal,
    Owner,
    PartitionName,
    Text,
    Time,
)

UnendedStatus = Literal["waiting", "running", "retrying"]
"""State of an item that has not ended: `waiting` for its first run, `running` at a worker, `retrying`: it waits for
another attempt."""


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

    _write = model_serializer(mode="wrap")(write_null_payload)


class ItemsReply(Message):
    """Reply with the items in the order of their ordinals. A long reply is truncated: query again for the rest."""

    type: ClassVar[str] = "items.reply.v1"
    items: Annotated[list[StoredItem], Field(max_length=MAX_PAGE)] = []
    gone: Annotated[list[Ordinal], Field(max_length=MAX_PAGE)] = []
    """Ordinals of items that are no longer stored, or whose batch the owner does not have."""


class StatesQuery(Message):
    """Query for items of a batch, what the dispatcher does with them included: those named, or else those after the
    ordinal `after` that the filters select, in the order of their ordinals."""

    type: ClassVar[str] = "states.query.v1"
    owner: Owner
    batch_id: BatchId
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_PAGE)] | None = None
    after: Cursor = -1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    status: UnendedStatus | None = None
    """State of the items; None: any, also of items that have ended."""
    partition: Annotated[Text, StringConstraints(max_length=MAX_PARTITION_NAME)] | None = None
    custom_id: CustomId | None = None
    payloads: bool = False
    """True: the reply has the payloads of the items."""


class ItemState(StoredItem):
    """Stored item, and what the dispatcher does with it."""

    payload: JsonValue = None
    """Payload; present only if the query asks for payloads."""
    status: UnendedStatus | None = None
    """State of the item; None: the dispatcher has nothing more to do with it."""
    attempt: Attempt | None = None
    """Number of the attempt that runs or comes next; None: the item has ended."""
    since: Time | None = None
    """Time at which the running item was sent to a worker."""
    chunk_id: UUID | None = None
    """Chunk of the running item, as heartbeats of workers name it."""
    retry_at: Time | None = None
    """Time at which the next attempt is due."""
    error: ItemError | None = None
    """Error of the last attempt; None: there was none, or the item has ended."""


class StatesReply(Message):
    """Reply with items in the order of their ordinals. There may be fewer than the limit although more follow."""

    type: ClassVar[str] = "states.reply.v1"
    found: bool = True
    """False: the owner has no such batch, or the dispatcher has no item of it yet."""
    items: Annotated[list[ItemState], Field(max_length=MAX_PAGE)] = []
    next_after: Cursor | None = None
    """Ordinal after which the items go on; None: there are no more."""

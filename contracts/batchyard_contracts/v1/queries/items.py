"""Queries for the stored payloads of items."""

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.queries.paging import MAX_PAGE
from batchyard_contracts.v1.values import BatchId, ItemId, Ordinal, Owner, PartitionName


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

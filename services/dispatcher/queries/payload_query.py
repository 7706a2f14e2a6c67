"""Answers queries for the payloads of items as they would run now."""

from pydantic_core import from_json

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import ItemsQuery, ItemsReply, StoredItem
from services.dispatcher.domain.item_line import is_unreadable
from services.dispatcher.intake.item_lookup import find_items
from services.dispatcher.persistence.stores import Stores

REPLY_BYTES = 2_000_000
"""Approximate size in bytes at which a reply is cut, below the limit of a message."""
_MAX_READS = 50
"""Maximum number of reads for one reply. Items far apart need a read each, and a reply must not take too long."""


class PayloadQuery:
    """Reads the stored items for the owner of their batch."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def on_items_query(self, query: ItemsQuery, _: Envelope) -> ItemsReply:
        """Return as many of the requested items as fit into a reply."""
        if await self._stores.batches.owner_of(query.batch_id) != query.owner:
            return ItemsReply(gone=query.ordinals)
        items: list[StoredItem] = []
        size = reads = 0
        async for found in find_items(self._stores, query.batch_id, query.ordinals):
            reads += 1
            for stored in found:
                if is_unreadable(stored.line):
                    continue
                size += len(stored.line) + 100
                if items and size > REPLY_BYTES:
                    return _reply(items)
                fields = from_json(stored.line)
                items.append(
                    StoredItem(
                        ordinal=stored.ordinal,
                        payload=fields["payload"],
                        custom_id=fields.get("custom_id"),
                        partition=stored.partition,
                    )
                )
            if reads == _MAX_READS:
                return _reply(items)
        known = {item.ordinal for item in items}
        return _reply(items, gone=[ordinal for ordinal in query.ordinals if ordinal not in known])


def _reply(items: list[StoredItem], gone: list[int] | None = None) -> ItemsReply:
    return ItemsReply(items=sorted(items, key=lambda item: item.ordinal), gone=gone or [])

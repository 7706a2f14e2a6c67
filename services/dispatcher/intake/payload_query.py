"""Answers questions about the payloads of items, as they would run now."""

from pydantic_core import from_json

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import ItemsQuery, ItemsReply, StoredItem
from services.dispatcher.intake.item_lookup import find_items
from services.dispatcher.persistence.store import Store

REPLY_BYTES = 2_000_000
"""About where an answer is cut: it stays under the limit of a message."""
_MAX_READS = 50
"""Items that are far apart are found one by one: an answer must not take too long."""


class PayloadQuery:
    """Reads the kept items for whoever owns them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def on_items_query(self, query: ItemsQuery, _: Envelope) -> ItemsReply:
        """As many of the items as fit into an answer."""
        if await self._store.owner_of(query.batch_id) != query.owner:
            return ItemsReply(gone=query.ordinals)
        items: list[StoredItem] = []
        size = lots = 0
        async for found in find_items(self._store, query.batch_id, query.ordinals):
            lots += 1
            for kept in found:
                size += len(kept.line) + 100
                if items and size > REPLY_BYTES:
                    return _reply(items)
                fields = from_json(kept.line)
                items.append(
                    StoredItem(
                        ordinal=kept.ordinal,
                        payload=fields["payload"],
                        custom_id=fields.get("custom_id"),
                        partition=kept.partition,
                    )
                )
            if lots == _MAX_READS:
                return _reply(items)
        known = {item.ordinal for item in items}
        return _reply(items, gone=[ordinal for ordinal in query.ordinals if ordinal not in known])


def _reply(items: list[StoredItem], gone: list[int] | None = None) -> ItemsReply:
    return ItemsReply(items=sorted(items, key=lambda item: item.ordinal), gone=gone or [])

"""Messages that close an open batch: the number of its items, and the end of those that may be missing."""

from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.flow import BatchSealed, ItemsSettled, SettledItem
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.limits import PAGE_ITEMS
from services.ingest.domain.pager import EncodedMessage


def closing_messages(header: BatchHeader, status: Literal["cancelled", "expired"]) -> list[EncodedMessage]:
    """Return the messages that close a batch for good.

    Pages that an upload claimed before its process died may have been lost with it: their items end here. Those that
    were not lost may still run; the aggregator keeps the first outcome of each.
    """
    messages = []
    if header.confirmed is not None:
        for start in range(header.confirmed.items, header.items, PAGE_ITEMS):
            ordinals = range(start, min(start + PAGE_ITEMS, header.items))
            items = [SettledItem(ordinal=ordinal) for ordinal in ordinals]
            settled = ItemsSettled(batch_id=header.batch_id, round=1, status=status, items=items)
            messages.append(EncodedMessage(settled.type, settled.encode()))
    return [*messages, sealed_message(header.batch_id, header.items)]


def sealed_message(batch_id: UUID, total: int, units: int | None = None) -> EncodedMessage:
    """Return the message that a batch takes no more items, with the total of its items and units."""
    message = BatchSealed(batch_id=batch_id, total=total, units=units)
    return EncodedMessage(message.type, message.encode())

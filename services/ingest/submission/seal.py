"""Messages that end items and close an open batch: the number of its items, and the end of those that never run."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.flow import BatchSealed, ItemsSettled, SettledItem
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.pager import EncodedMessage
from shared.messaging.packing import pack


def closing_messages(header: BatchHeader, status: Literal["cancelled", "expired"]) -> list[EncodedMessage]:
    """Return the messages that close a batch for good.

    Pages that an upload assigned before its process died may have been lost with it: their items end here. Those that
    were not lost may still run; the aggregator keeps the first outcome of each.
    """
    first_missing = header.items if header.confirmed is None else header.confirmed.items
    missing = [SettledItem(ordinal=ordinal) for ordinal in range(first_missing, header.items)]
    return [*settled_messages(header.batch_id, status, missing), sealed_message(header.batch_id, header.items)]


def settled_messages(
    batch_id: UUID, status: Literal["failed", "cancelled", "expired"], items: Sequence[SettledItem]
) -> list[EncodedMessage]:
    """Return the messages that items of the first round have ended without running."""

    def encode(part: Sequence[SettledItem]) -> bytes:
        return ItemsSettled(batch_id=batch_id, round=1, status=status, items=list(part)).encode()

    return [EncodedMessage(ItemsSettled.type, body) for body in pack(items, encode)]


def sealed_message(batch_id: UUID, total: int, units: int | None = None) -> EncodedMessage:
    """Return the message that a batch takes no more items, with the total of its items and units."""
    message = BatchSealed(batch_id=batch_id, total=total, units=units)
    return EncodedMessage(message.type, message.encode())

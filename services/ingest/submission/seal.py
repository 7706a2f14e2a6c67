"""The messages that close an open batch: how many items it has, and what becomes of those that may be missing."""

from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.flow import BatchSealed, ItemsSettled, SettledItem
from services.ingest.domain.batch import Header
from services.ingest.domain.limits import PAGE_ITEMS
from services.ingest.domain.pager import Note


def closing_notes(header: Header, status: Literal["cancelled", "expired"]) -> list[Note]:
    """Say that no more items follow, ever.

    What an upload's process gave out before it died may have been lost with it: these items end here. Those that were
    not lost may run; the ledger keeps the first outcome of each.
    """
    notes = []
    if header.sent is not None:
        for start in range(header.sent.items, header.items, PAGE_ITEMS):
            ordinals = range(start, min(start + PAGE_ITEMS, header.items))
            items = [SettledItem(ordinal=ordinal) for ordinal in ordinals]
            settled = ItemsSettled(batch_id=header.batch_id, round=1, status=status, items=items)
            notes.append(Note(settled.type, settled.encode()))
    return [*notes, sealed_note(header.batch_id, header.items)]


def sealed_note(batch_id: UUID, total: int, units: int | None = None) -> Note:
    """The message that says that no more items follow, and of how many units all are made."""
    message = BatchSealed(batch_id=batch_id, total=total, units=units)
    return Note(message.type, message.encode())

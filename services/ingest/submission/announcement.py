"""Messages that announce batches to the other services. The items of a small sealed batch are part of it."""

from collections.abc import Sequence

from batchyard_contracts.topology import WHOLE
from batchyard_contracts.v1.flow import BatchAccepted, ItemsPage
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.pager import EncodedMessage, segments_of

WHOLE_BYTES = 64 * 1024
"""Largest size in bytes of a page that becomes part of the announcement, which the aggregator receives as well."""


def accepted_message(header: BatchHeader, validator: ItemValidator) -> EncodedMessage:
    """Return the message that announces a batch to the other services."""
    message = BatchAccepted(
        batch_id=header.batch_id,
        owner=header.owner,
        workload=header.workload,
        priority=header.priority,
        total=header.items if header.state == "sealed" else None,
        name=header.name,
        labels=header.labels,
        metadata=header.metadata,
        notify=header.notify,
        terms=header.terms,
        reuse=header.reuse,
        has_summary=validator.has_summary or None,
        unit=validator.unit,
        has_source=True if header.source_mode in ("expand", "estimate") else None,
        accepted_at=header.accepted_at,
    )
    return EncodedMessage(message.type, message.encode())


def sealed_messages(
    header: BatchHeader, validator: ItemValidator, items: Sequence[EncodedMessage]
) -> list[EncodedMessage]:
    """Return the messages of a sealed batch with those of its items. The announcement is the last one, because the
    batch may run once it is announced."""
    announcement = accepted_message(header, validator)
    pages = [message for message in items if message.type == ItemsPage.type]
    if header.pages != 1 or len(pages) != 1 or len(pages[0].body) > WHOLE_BYTES:
        return [*items, announcement]
    whole = announcement.body[:-1] + segments_of(pages[0].body)
    others = [message for message in items if message.type != ItemsPage.type]
    return [*others, EncodedMessage(announcement.type, whole, prefix=WHOLE)]

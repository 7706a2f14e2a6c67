"""Appends the items that a source expands to, and seals the batch after the last of them.

The source is item 0 of its batch, and a worker runs it like any item. Its parts arrive here before its report reaches
the aggregator, so that a worker that is lost in between leaves something that is run again. The batch is sealed by the
last part, or when the aggregator reports that the source did not succeed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SettledItem, SourceEnded, SourceExpanded
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, ItemError, NewItem
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.item import ValidatedItem, validate_items
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.store import BatchStore, LockedBatch
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.found_items import AppendedItems, FoundItems
from services.ingest.submission.seal import sealed_message
from services.ingest.submission.submit import digest_of
from shared.postgres.outbox import Outbox
from shared.runtime.errors import MessageRejected

log = structlog.get_logger()
_MAX_ATTEMPTS = 100
_RETRY_DELAY_S = 0.1
"""Pause in seconds before an out-of-order part is tried again: another process may be busy with its predecessor."""


class _OutOfOrder(Exception):
    """The predecessor of this part has not been recorded yet."""


class SourceExpansion:
    """Message handler for the parts of sources. Each part is recorded once."""

    def __init__(
        self,
        store: BatchStore,
        outbox: Outbox,
        registry: WorkloadRegistry,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup_index = dedup_index
        self._found_items = FoundItems(dedup_index)
        self._backpressure = backpressure

    async def on_source_expanded(self, message: SourceExpanded, _: Envelope) -> None:
        """Append the items of a part; raises `MessageRejected` when its predecessors never arrive."""
        for _attempt in range(_MAX_ATTEMPTS):
            with suppress(_OutOfOrder):
                return await self._expand(message)
            await asyncio.sleep(_RETRY_DELAY_S)  # no signal tells when another process commits
        raise MessageRejected(f"Part {message.sequence} of a source arrived without its predecessor.")

    async def on_source_ended(self, message: SourceEnded, _: Envelope) -> None:
        """Seal the batch of a source that ended without success."""
        async with self._store.lock(message.batch_id, message.owner) as locked:
            header = locked.header
            if header is None or header.state != "open" or header.source_mode not in ("expand", "estimate"):
                return
            await locked.seal(header.batch_id)
            messages = [sealed_message(header.batch_id, header.items)]
            posted = await locked.add_messages(header, messages)
        log.info("source ended without success", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(posted)
        await self._dedup_index.delete(header.batch_id)

    async def _expand(self, message: SourceExpanded) -> None:
        new_fingerprints: dict[bytes, int] = {}
        async with self._store.lock(message.batch_id, message.owner) as locked:
            header = locked.header
            if header is None or header.state != "open" or header.source_mode not in ("expand", "estimate"):
                log.info("late part of a source ignored", batch_id=str(message.batch_id), sequence=message.sequence)
                return
            updated, messages = header, list[EncodedMessage]()
            if header.source_mode == "expand":
                if message.sequence > header.next_sequence:
                    raise _OutOfOrder
                if message.sequence == header.next_sequence:
                    updated, messages, new_fingerprints = await self._append(locked, header, message)
            if message.last or updated.items >= MAX_ITEMS_PER_BATCH:
                await locked.seal(header.batch_id)
                units = message.units if header.source_mode == "expand" else None
                messages.append(sealed_message(header.batch_id, updated.items, units))
                updated = replace(updated, state="sealed")
            if not messages:
                return
            posted = await locked.add_messages(header, messages)
        self._backpressure.record_accepted(header.owner, updated.volume - header.volume)
        log.info("source expanded", batch_id=str(header.batch_id), sequence=message.sequence, items=updated.items)
        await self._outbox.deliver(posted)
        if updated.state == "sealed":
            await self._dedup_index.delete(header.batch_id)
        else:
            await self._dedup_index.add(header.batch_id, new_fingerprints)

    async def _append(self, locked: LockedBatch, header: BatchHeader, message: SourceExpanded) -> AppendedItems:
        validator = (await self._registry.get(header.workload, locked.connection)).validator
        valid, invalid = _validate(validator, message.items, header.items)
        digest = digest_of(message, exclude={"batch_id"})
        return await self._found_items.append(locked, header, valid, invalid, message.sequence, digest)


def _validate(
    validator: ItemValidator, items: Sequence[NewItem], first: int
) -> tuple[list[ValidatedItem], list[SettledItem]]:
    """Validate the items of a part. Returns the valid ones, and the end of those that are invalid or exceed the size
    of a batch."""
    valid, invalid = list[ValidatedItem](), list[SettledItem]()
    for ordinal, item in enumerate(items, first):
        if ordinal == MAX_ITEMS_PER_BATCH - 1:
            detail = f"The source found more than {MAX_ITEMS_PER_BATCH} items, the limit of a batch. Narrow the source."
            invalid.append(_failed_item(ordinal, None, Rejection("too_many_items", detail)))
            break
        validated = validate_items(validator, [item], ordinal)
        if isinstance(validated, Rejection):
            invalid.append(_failed_item(ordinal, item.custom_id, validated))
        else:
            valid += validated
    return valid, invalid


def _failed_item(ordinal: int, custom_id: str | None, rejection: Rejection) -> SettledItem:
    error = ItemError(code=rejection.code, message=f"The source found an invalid item. {rejection.detail}"[:2000])
    return SettledItem(ordinal=ordinal, custom_id=custom_id, error=error)

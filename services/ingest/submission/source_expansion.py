"""Lets a batch with a source grow by what workers find, and closes it when there is no more to come.

The source is item 0 of its batch and runs as items do. What it finds comes here before the report on it goes to the
ledger, so that who is lost in between leaves something that comes again; the batch is sealed by the last of it, or
because the ledger says that the source did not succeed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import ItemsSettled, SettledItem, SourceEnded, SourceExpanded
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, ItemError, NewItem
from services.ingest.domain.batch import Header
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import Entry, entries_of
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.pager import Note, marks_of, write_pages
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import LockedBatch, Store
from services.ingest.persistence.workload_registry import Registry
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.seal import sealed_note
from services.ingest.submission.submit import digest_of
from shared.runtime.errors import Rejected

log = structlog.get_logger()
_TRIES = 100
_PAUSE_S = 0.1
"""Another process may be busy with the part before."""


class _TooEarly(Exception):
    """The part before this one has not been taken yet."""


class Sources:
    """Takes each part of what a source finds once."""

    def __init__(self, store: Store, outbox: Outbox, registry: Registry, dedup: Dedup, load: Load) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup = dedup
        self._load = load

    async def expanded(self, message: SourceExpanded, _: Envelope) -> None:
        """Items were found; raises `Rejected` when those before them never come."""
        for _try in range(_TRIES):
            with suppress(_TooEarly):
                return await self._take(message)
            await asyncio.sleep(_PAUSE_S)  # nothing tells when another process will have committed
        raise Rejected(f"Part {message.sequence} of a source came, and the one before it did not.")

    async def ended(self, message: SourceEnded, _: Envelope) -> None:
        """The source found nothing (more)."""
        async with self._store.locked(message.batch_id, message.owner) as locked:
            header = locked.header
            if header is None or header.state != "open" or not header.sourced:
                return
            await locked.seal(header.batch_id)
            notes = [sealed_note(header.batch_id, header.items)]
            row_id = await locked.note(header, notes)
        log.info("source failed", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        await self._dedup.forget(header.batch_id)

    async def _take(self, message: SourceExpanded) -> None:
        seen: dict[bytes, int] = {}
        async with self._store.locked(message.batch_id, message.owner) as locked:
            header = locked.header
            if header is None or header.state != "open" or not header.sourced:
                log.info("late part of a source", batch_id=str(message.batch_id), sequence=message.sequence)
                return
            grown, notes = header, list[Note]()
            if header.sourced == "expand":
                if message.sequence > header.next_sequence:
                    raise _TooEarly
                if message.sequence == header.next_sequence:
                    grown, notes, seen = await self._grow(locked, header, message)
            if message.last or grown.items >= MAX_ITEMS_PER_BATCH:
                await locked.seal(header.batch_id)
                units = message.units if header.sourced == "expand" else None
                notes.append(sealed_note(header.batch_id, grown.items, units))
                grown = replace(grown, state="sealed")
            if not notes:
                return
            row_id = await locked.note(header, notes)
        self._load.took(header.owner, grown.items - header.items)
        log.info("source expanded", batch_id=str(header.batch_id), sequence=message.sequence, items=grown.items)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if grown.state == "sealed":
            await self._dedup.forget(header.batch_id)
        else:
            await self._dedup.remember(header.batch_id, seen)

    async def _grow(
        self, locked: LockedBatch, header: Header, message: SourceExpanded
    ) -> tuple[Header, list[Note], dict[bytes, int]]:
        rules = (await self._registry.get(header.workload)).rules
        entries, unfit = _judged(rules, message.items, header.items)
        known = await self._dedup.lookup(header.batch_id, marks_of(entries))
        written = write_pages(
            header.batch_id, header.workload, entries, header.pages, known, keyed=header.reuse.has_claims
        )
        items, pages = header.items + len(entries) + len(unfit), header.pages + written.pages
        grown = replace(header, items=items, pages=pages)
        await locked.took(grown, message.sequence, digest_of(message, exclude={"batch_id"}))
        notes = list(written.notes)
        if unfit:
            settled = ItemsSettled(batch_id=header.batch_id, round=1, status="failed", items=unfit)
            notes.append(Note(settled.type, settled.encode()))
        return grown, notes, written.seen


def _judged(rules: Rules, items: Sequence[NewItem], first: int) -> tuple[list[Entry], list[SettledItem]]:
    """The items as entries; those that do not fit the workload end here, and so does what is beyond a batch's size."""
    entries, unfit = list[Entry](), list[SettledItem]()
    for ordinal, item in enumerate(items, first):
        if ordinal == MAX_ITEMS_PER_BATCH - 1:
            more = (
                f"The source found more items than a batch takes, {MAX_ITEMS_PER_BATCH}. Narrow it, and submit again."
            )
            unfit.append(_failed(ordinal, None, Fault("too_many_items", more)))
            break
        made = entries_of(rules, [item], ordinal)
        if isinstance(made, Fault):
            unfit.append(_failed(ordinal, item.custom_id, made))
        else:
            entries += made
    return entries, unfit


def _failed(ordinal: int, custom_id: str | None, fault: Fault) -> SettledItem:
    error = ItemError(code=fault.code, message=f"The source found an item that cannot run. {fault.detail}"[:2000])
    return SettledItem(ordinal=ordinal, custom_id=custom_id, error=error)

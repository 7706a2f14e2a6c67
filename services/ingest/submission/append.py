"""Lets an open batch grow, append by append, until it is sealed."""

from dataclasses import replace

import structlog

from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, CommandAccepted
from services.ingest.domain.batch import Header
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import entries_of
from services.ingest.domain.pager import Written, marks_of, write_pages
from services.ingest.domain.refused import NOT_FOUND, Refused
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import LockedBatch, Store
from services.ingest.persistence.workload_registry import Registry
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.seal import sealed_note
from services.ingest.submission.submit import BUSY, digest_of

log = structlog.get_logger()
SEALED = Fault("batch_sealed", "The batch takes no more items. Submit another one.", 409)
UPLOADING = Fault(
    "upload_in_progress", "An upload adds items to the batch. Wait for its end, or cancel the batch.", 409
)
UNFINISHED = Fault(
    "upload_unfinished",
    "The upload of this batch broke off so that its last items may be missing. Send it again under its idempotency "
    "key, or cancel the batch.",
    409,
)
SOURCED = Fault(
    "source_batch", "The items of this batch come from its source. Submit another batch, or cancel this one.", 409
)
EMPTY = Fault("no_items", "The batch has no items yet. Append some before you seal it, or cancel it.", 409)


class Growth:
    """Appends and seals, each of them once however often it is sent."""

    def __init__(self, store: Store, outbox: Outbox, registry: Registry, dedup: Dedup, load: Load) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup = dedup
        self._load = load

    async def append(self, owner: str, command: BatchAppend) -> CommandAccepted:
        """Add items; raises `Refused`. The sequence number of an append that was taken gives the same reply again."""
        if self._outbox.full:
            raise Refused(BUSY)
        digest = digest_of(command, exclude={"batch_id", "sequence"})
        async with self._store.locked(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise Refused(NOT_FOUND)
            if await self._taken(locked, command, digest):
                return header.accepted(replayed=True)
            _check(header, command)
            self._load.check(owner, len(command.items))
            written = await self._write(header, command)
            grown = replace(header, items=header.items + len(command.items), pages=header.pages + written.pages)
            row_id = await locked.append(grown, command.sequence, digest, written.notes)
        self._load.took(owner, len(command.items))
        log.info("batch grew", batch_id=str(header.batch_id), sequence=command.sequence, items=grown.items)
        await self._outbox.deliver(row_id, written.notes, header.traceparent)
        await self._dedup.remember(header.batch_id, written.seen)
        return grown.accepted()

    async def seal(self, owner: str, command: BatchSeal) -> CommandAccepted:
        """Say that no more items follow; raises `Refused`."""
        async with self._store.locked(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise Refused(NOT_FOUND)
            if header.state == "sealed":
                return header.accepted(replayed=True)
            if not header.items:
                raise Refused(EMPTY)
            if header.sourced:
                raise Refused(SOURCED)
            _check_upload(header)
            await locked.seal(header.batch_id)
            notes = [sealed_note(header.batch_id, header.items)]
            row_id = await locked.note(header, notes)
        log.info("batch sealed", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        await self._dedup.forget(header.batch_id)
        return header.accepted()

    async def _taken(self, locked: LockedBatch, command: BatchAppend, digest: bytes) -> bool:
        before = await locked.append_digest(command.batch_id, command.sequence)
        if before is not None and before != digest:
            raise Refused(
                Fault(
                    "sequence_conflict",
                    f"Sequence {command.sequence} was used for other items. Append them under the next number.",
                    409,
                )
            )
        return before is not None

    async def _write(self, header: Header, command: BatchAppend) -> Written:
        announced = await self._registry.get(header.workload)
        if crowded := announced.rules.crowd(header.items + len(command.items)):
            raise Refused(crowded)
        entries = entries_of(announced.rules, command.items, first=header.items)
        if isinstance(entries, Fault):
            raise Refused(entries)
        known = await self._dedup.lookup(header.batch_id, marks_of(entries))
        return write_pages(
            header.batch_id, header.workload, entries, header.pages, known, keyed=header.reuse.has_claims
        )


def _check_upload(header: Header) -> None:
    if header.leased:
        raise Refused(UPLOADING)
    if header.sent is not None and header.sent.items < header.items:
        raise Refused(UNFINISHED)


def _check(header: Header, command: BatchAppend) -> None:
    if header.state == "sealed":
        raise Refused(SEALED)
    if header.sourced:
        raise Refused(SOURCED)
    _check_upload(header)
    if command.sequence != header.next_sequence:
        raise Refused(Fault("sequence_gap", f"Expected sequence {header.next_sequence}, got {command.sequence}.", 409))

"""Appends items to an open batch until it is sealed."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, CommandAccepted
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.item import ValidatedItem, validate_items
from services.ingest.domain.pager import EncodedPages, encode_pages, fingerprints_of
from services.ingest.domain.precondition import NO_PRECONDITION, Precondition
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.volume import volume_of
from services.ingest.persistence.store import BatchStore, LockedBatch
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.seal import sealed_message
from services.ingest.submission.submit import BACKLOG_FULL, digest_of
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
BATCH_SEALED = Rejection("batch_sealed", "The batch is sealed and takes no more items. Submit another batch.", 409)
UPLOAD_IN_PROGRESS = Rejection(
    "upload_in_progress", "An upload is adding items to the batch. Wait until it ends, or cancel the batch.", 409
)
UPLOAD_UNFINISHED = Rejection(
    "upload_unfinished",
    "The upload of this batch was interrupted, and its last items may be missing. Send it again under its "
    "idempotency key, or cancel the batch.",
    409,
)
SOURCE_BATCH = Rejection(
    "source_batch", "The items of this batch come from its source. Submit another batch, or cancel this one.", 409
)
NO_ITEMS = Rejection("no_items", "The batch has no items yet. Append some before you seal it, or cancel it.", 409)


class BatchAppender:
    """Handles append and seal. Each command acts once, however often it is sent."""

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
        self._backpressure = backpressure

    async def append(
        self, owner: str, command: BatchAppend, precondition: Precondition = NO_PRECONDITION
    ) -> CommandAccepted:
        """Add items; raises `IngestError`. A sequence number that is repeated with the same items gives the same
        reply."""
        if self._outbox.is_full:
            raise IngestError(BACKLOG_FULL)
        digest = digest_of(command, exclude={"batch_id", "sequence"})
        async with self._store.lock(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise IngestError(NOT_FOUND)
            if await self._is_replay(locked, command, digest):
                return header.to_reply(replayed=True)
            precondition.check(header)
            _check_append(header, command)
            items = await self._validate(locked, header, command)
            added = volume_of(items)
            self._backpressure.check(owner, added)
            encoded = await self._encode(header, items)
            updated = replace(
                header,
                items=header.items + added.items,
                size=header.size + added.size,
                pages=header.pages + encoded.pages,
            )
            await locked.record_append(updated, command.sequence, digest)
            appended = {"sequence": command.sequence, "items": len(command.items)}
            await locked.record_audit("batch.append", header, after=appended)
            posted = await locked.add_messages(updated, encoded.messages)
        self._backpressure.record_accepted(owner, added)
        log.info("items appended", batch_id=str(header.batch_id), sequence=command.sequence, items=updated.items)
        await self._outbox.deliver(posted)
        await self._dedup_index.add(header.batch_id, encoded.new_fingerprints)
        return updated.to_reply()

    async def seal(
        self, owner: str, command: BatchSeal, precondition: Precondition = NO_PRECONDITION
    ) -> CommandAccepted:
        """Close the batch to further items; raises `IngestError`."""
        async with self._store.lock(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise IngestError(NOT_FOUND)
            if header.state == "sealed":
                return header.to_reply(replayed=True)
            precondition.check(header)
            if not header.items:
                raise IngestError(NO_ITEMS)
            if header.source_mode:
                raise IngestError(SOURCE_BATCH)
            _check_upload(header)
            await locked.seal(header.batch_id)
            await locked.record_audit("batch.seal", header, after={"items": header.items})
            messages = [sealed_message(header.batch_id, header.items)]
            posted = await locked.add_messages(header, messages)
        log.info("batch sealed", batch_id=str(header.batch_id), items=header.items)
        await self._outbox.deliver(posted)
        await self._dedup_index.delete(header.batch_id)
        return header.to_reply()

    async def _is_replay(self, locked: LockedBatch, command: BatchAppend, digest: bytes) -> bool:
        earlier = await locked.append_digest(command.batch_id, command.sequence)
        if earlier is not None and earlier != digest:
            raise IngestError(
                Rejection(
                    "sequence_conflict",
                    f"Sequence {command.sequence} was used for other items. Use the next number.",
                    409,
                )
            )
        return earlier is not None

    async def _validate(self, locked: LockedBatch, header: BatchHeader, command: BatchAppend) -> list[ValidatedItem]:
        workload = await self._registry.get(header.workload, locked.connection)
        if rejection := workload.validator.check_count(header.items + len(command.items)):
            raise IngestError(rejection)
        items = validate_items(workload.validator, command.items, first=header.items)
        if isinstance(items, Rejection):
            raise IngestError(items)
        return items

    async def _encode(self, header: BatchHeader, items: Sequence[ValidatedItem]) -> EncodedPages:
        known = await self._dedup_index.lookup(header.batch_id, fingerprints_of(items))
        return encode_pages(
            header.batch_id, header.workload, items, header.pages, known, with_keys=header.reuse.has_claims
        )


def _check_upload(header: BatchHeader) -> None:
    if header.leased:
        raise IngestError(UPLOAD_IN_PROGRESS)
    if header.confirmed is not None and header.confirmed.items < header.items:
        raise IngestError(UPLOAD_UNFINISHED)


def _check_append(header: BatchHeader, command: BatchAppend) -> None:
    if header.state == "sealed":
        raise IngestError(BATCH_SEALED)
    if header.source_mode:
        raise IngestError(SOURCE_BATCH)
    _check_upload(header)
    if command.sequence != header.next_sequence:
        raise IngestError(
            Rejection("sequence_gap", f"Expected sequence {header.next_sequence}, got {command.sequence}.", 409)
        )

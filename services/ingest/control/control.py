"""Passes on commands that steer a batch, after checking whose it is."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.v1.commands import BatchControl, CommandAccepted
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import BatchState
from services.ingest.control.retry_preview import Retries, RetryPreview, nothing_to_run
from services.ingest.domain.batch import Header
from services.ingest.domain.command_validation import fault_in_order, terms_of
from services.ingest.domain.fault import Fault
from services.ingest.domain.pager import Note
from services.ingest.domain.refused import NOT_FOUND, Refused
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import LockedBatch, Store
from services.ingest.queries.aggregator_client import Ledger
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from services.ingest.submission.seal import closing_notes
from services.ingest.submission.submit import digest_of

log = structlog.get_logger()
NOT_FINISHED = Fault("not_finished", "Only a finished batch can be retried. Wait for its end, or cancel it.", 409)
ONLY_RETRY = Fault("invalid_command", "`select`, `patch` and `skip_invalid` belong to the action `retry`.")
SOURCE_ONLY = Fault(
    "source_not_retried",
    "The source of this batch found nothing to run, and a source is not run again. Submit the batch again.",
    409,
)
FINISHED = "The batch has finished: there is nothing to {}. What did not succeed runs again with the action `retry`."
ID_TAKEN = Fault("idempotency_conflict", "The id was used for another command. Choose a new one.", 409)


class Steering:
    """Pause, resume, cancel, retry and change."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        ledger: Ledger,
        retries: Retries,
        dedup: Dedup,
        load: Load,
        clock: Callable[[], datetime],
    ) -> None:
        self._retries = retries
        self._store = store
        self._outbox = outbox
        self._ledger = ledger
        self._dedup = dedup
        self._load = load
        self._clock = clock

    async def control(self, owner: str, command: BatchControl, command_id: str | None = None) -> CommandAccepted:
        """Steer a batch; raises `Refused`. A command that comes again under its id acts once."""
        digest = digest_of(command, exclude=set())
        fault = fault_in_order(command, self._clock())
        if command.action != "retry" and (command.select or command.patch or command.skip_invalid):
            fault = ONLY_RETRY
        if fault is not None and not await self._store.has_control(owner, command_id, digest):
            raise Refused(fault)  # a deadline may have passed since the command was taken
        preview = None
        if command.action == "retry" and not await self._store.has_control(owner, command_id, digest):
            preview = await self._try(owner, command)
        async with self._store.locked(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise Refused(NOT_FOUND)
            before = await locked.take_control(owner, command_id, header.batch_id, digest) if command_id else None
            if before is not None:
                if before != digest:
                    raise Refused(ID_TAKEN)
                return header.accepted(replayed=True)
            finished = header.finished or self._load.says_finished(header.batch_id, header.round)
            if finished and command.action in {"pause", "resume", "cancel"}:
                raise Refused(Fault("batch_finished", FINISHED.format(command.action), 409))
            notes = [*await _recorded(locked, header, command, preview), self._note(header, command, preview)]
            row_id = await locked.note(header, notes)
        log.info("batch steered", batch_id=str(header.batch_id), action=command.action)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if len(notes) > 1:
            await self._dedup.forget(header.batch_id)
        ended = True if finished and command.action == "change" else None
        again = preview.items if preview else None
        return header.accepted().model_copy(update={"retried": again, "finished": ended})

    async def preview(self, owner: str, command: BatchControl) -> RetryPreview:
        """What a retry would do; raises `Refused`."""
        header, _ = await self._finished(owner, command)
        if command.patch:
            return await self._retries.try_patch(header, command.select, command.patch)
        return await self._retries.count(header, command.select)

    async def _try(self, owner: str, command: BatchControl) -> RetryPreview:
        """Whether a retry may be asked for. Without selection and patch it may, even if nothing failed."""
        if command.select is None and not command.patch:
            _, state = await self._finished(owner, command)
            counts = state.counts
            return RetryPreview(round=state.round, items=counts.failed + counts.expired + counts.cancelled)
        preview = await self.preview(owner, command)
        if preview.invalid and not command.skip_invalid:
            one, of = preview.invalid_items[0], preview.invalid + preview.items
            detail = (
                f"The patch does not fit {preview.invalid} of {of} items; nothing was changed. "
                f"Item {one.ordinal}: {one.reason} Try it with dry_run; skip_invalid leaves such items as they are."
            )
            raise Refused(Fault("patch_not_applicable", detail))
        if not preview.items:
            raise Refused(nothing_to_run(command.select))
        return preview

    async def _finished(self, owner: str, command: BatchControl) -> tuple[Header, BatchState]:
        header = await self._store.get(command.batch_id, owner)
        if header is None:
            raise Refused(NOT_FOUND)
        state = await self._ledger.state(owner, command.batch_id)
        if state is None or state.status != "finished":
            raise Refused(NOT_FINISHED)
        if header.sourced and header.items == 1:
            raise Refused(SOURCE_ONLY)
        return header, state

    def _note(self, header: Header, command: BatchControl, preview: RetryPreview | None) -> Note:
        invalid = preview.invalid_ordinals if preview else []
        message = BatchControlled(
            batch_id=command.batch_id,
            owner=header.owner,
            action=command.action,
            priority=command.priority if command.action == "change" else None,
            round=preview.round if preview else None,
            terms=terms_of(command),
            clear=command.clear,
            select=command.select,
            except_ordinals=[0, *invalid] if preview and header.sourced else invalid,
            patch=command.patch,
            at=self._clock(),
        )
        return Note(message.type, message.encode())


async def _recorded(
    locked: LockedBatch, header: Header, command: BatchControl, preview: RetryPreview | None
) -> list[Note]:
    """Record what the door itself has to know of a command; what is to be told besides."""
    if command.action == "change" and command.priority is not None:
        await locked.change_priority(header.batch_id, command.priority)
    if preview and preview.items:
        await locked.open_round(header.batch_id, preview.round + 1, preview.items)
    if command.action == "cancel" and header.state == "open":
        await locked.seal(header.batch_id)
        return closing_notes(header, "cancelled")
    return []

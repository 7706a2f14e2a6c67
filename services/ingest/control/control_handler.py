"""Validates commands that control a batch, and forwards them to the dispatcher."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.v1.commands import BatchControl, CancelSummary, CommandAccepted, InputError
from batchyard_contracts.v1.flow import BatchControlled
from batchyard_contracts.v1.queries import BatchState, SelectionQuery
from services.ingest.control.cancel_summary import summarize_cancel
from services.ingest.control.finished_batches import NOT_FINISHED, FinishedBatches
from services.ingest.control.retry_preview import RetryPreview, RetryPreviewer, nothing_to_retry
from services.ingest.domain.audited_states import control_states
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.command_validation import terms_of, validate_control
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.precondition import NO_PRECONDITION, Precondition
from services.ingest.domain.rejection import ID_TAKEN, Rejection
from services.ingest.persistence.store import BatchStore, LockedBatch
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.seal import closing_messages
from services.ingest.submission.submit import digest_of
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
RETRY_FIELDS_ONLY = Rejection("invalid_command", "`select`, `patch` and `skip_invalid` belong to the action `retry`.")
SOURCE_ONLY = Rejection(
    "source_not_retried",
    "The source of this batch found no items, and a source is not retried. Submit the batch again.",
    409,
)
FINISHED = "The batch has finished: there is nothing to {}. Retry the batch to run failed items again."


class BatchControlHandler:
    """Handler of pause, resume, cancel, retry and change."""

    def __init__(
        self,
        store: BatchStore,
        outbox: Outbox,
        aggregator: AggregatorClient,
        finished: FinishedBatches,
        retry_previewer: RetryPreviewer,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
        clock: Callable[[], datetime],
    ) -> None:
        self._retry_previewer = retry_previewer
        self._store = store
        self._outbox = outbox
        self._aggregator = aggregator
        self._finished = finished
        self._dedup_index = dedup_index
        self._backpressure = backpressure
        self._clock = clock

    async def control(
        self,
        owner: str,
        command: BatchControl,
        command_id: str | None = None,
        precondition: Precondition = NO_PRECONDITION,
        *,
        forced_because: str | None = None,
        with_summary: bool = False,
    ) -> CommandAccepted:
        """Forward a control command; raises `IngestError`. A command that is repeated under its id acts once.

        `forced_because`: the reason why an operator cancels a batch so that it ends without the dispatcher.
        `with_summary`: the reply to a cancel tells what becomes of the items.
        """
        digest = digest_of(command, exclude=set())
        rejection = validate_control(command, self._clock())
        if command.action != "retry" and (command.select or command.patch or command.skip_invalid):
            rejection = RETRY_FIELDS_ONLY
        if rejection is not None and not await self._store.has_control(owner, command_id, digest):
            raise IngestError(rejection)  # a repeated command is accepted even if its deadline has passed since
        preview = None
        if command.action == "retry" and not await self._store.has_control(owner, command_id, digest):
            preview = await self._check_retry(owner, command)
        summary = await self._summary(owner, command) if with_summary and command.action == "cancel" else None
        async with self._store.lock(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise IngestError(NOT_FOUND)
            earlier_digest = (
                await locked.record_control(owner, command_id, header.batch_id, digest) if command_id else None
            )
            if earlier_digest is not None:
                if earlier_digest != digest:
                    raise IngestError(ID_TAKEN)
                return header.to_reply(replayed=True)
            precondition.check(header)
            finished = header.finished or self._backpressure.has_finished(header.batch_id, header.round)
            if finished and command.action in {"pause", "resume", "cancel"}:
                raise IngestError(Rejection("batch_finished", FINISHED.format(command.action), 409))
            if preview and header.round > preview.round:
                raise IngestError(NOT_FINISHED)  # another round was opened meanwhile
            before, after = control_states(header, command, preview.items if preview else None)
            action = "finish" if forced_because else command.action
            reason = {"reason": forced_because} if forced_because else {}
            await locked.record_audit(f"batch.{action}", header, before=before, after=after | reason)
            at, forced = await locked.next_control_time(header.batch_id), forced_because is not None
            messages = [
                *await _record_effects(locked, header, command, preview),
                _control_message(header, command, preview, at, forced=forced),
            ]
            posted = await locked.add_messages(header, messages)
        log.info("batch control forwarded", batch_id=str(header.batch_id), action=command.action)
        await self._outbox.deliver(posted)
        if len(messages) > 1:
            await self._dedup_index.delete(header.batch_id)
        has_finished = True if finished and command.action == "change" else None
        retried = preview.items if preview else None
        effects = {"retried": retried, "finished": has_finished, "cancelled": summary}
        return header.to_reply().model_copy(update=effects)

    async def _summary(self, owner: str, command: BatchControl) -> CancelSummary | None:
        header = await self._store.get(command.batch_id, owner)
        return None if header is None or header.finished else await summarize_cancel(self._aggregator, header)

    async def preview_retry(
        self, owner: str, command: BatchControl, precondition: Precondition = NO_PRECONDITION
    ) -> RetryPreview:
        """Return the effect of a retry without starting it; raises `IngestError`."""
        header, _ = await self._finished_batch(owner, command)
        precondition.check(header)
        if command.patch:
            return await self._retry_previewer.preview_patch(header, command.select, command.patch)
        return await self._retry_previewer.preview(header, command.select)

    async def _check_retry(self, owner: str, command: BatchControl) -> RetryPreview:
        """Return the preview of a permitted retry. Without selection and patch a retry is permitted even if no item
        failed, but not if all that failed need a review."""
        if command.select is None and not command.patch:
            header, state = await self._finished_batch(owner, command)
            counts = state.counts
            if not counts.failed + counts.expired + counts.cancelled:
                return RetryPreview(round=state.round, items=0)
            query = SelectionQuery(owner=owner, batch_id=header.batch_id, limit=0, count=True)
            if not (count := (await self._aggregator.selection(query)).count):
                raise IngestError(nothing_to_retry(None))
            return RetryPreview(round=state.round, items=count)
        preview = await self.preview_retry(owner, command)
        if preview.invalid and not command.skip_invalid:
            first, total = preview.invalid_items[0], preview.invalid + preview.items
            detail = (
                f"The patch is not applicable to {preview.invalid} of {total} items; nothing was changed. "
                f"Item {first.ordinal}: {first.reason} Preview it with dry_run; skip_invalid leaves these items out."
            )
            errors = tuple(
                InputError(code=item.code, detail=f"Item {item.ordinal}: {item.reason}")
                for item in preview.invalid_items
            )
            raise IngestError(Rejection("patch_not_applicable", detail, errors=errors, error_count=preview.invalid))
        if not preview.items:
            raise IngestError(nothing_to_retry(command.select))
        return preview

    async def _finished_batch(self, owner: str, command: BatchControl) -> tuple[BatchHeader, BatchState]:
        header, state = await self._finished.get(owner, command.batch_id)
        if header.source_mode and header.items == 1:
            raise IngestError(SOURCE_ONLY)
        return header, state


def _control_message(
    header: BatchHeader, command: BatchControl, preview: RetryPreview | None, at: datetime, *, forced: bool
) -> EncodedMessage:
    invalid = preview.invalid_ordinals if preview else []
    round_ = preview.round if preview else header.round
    terms = terms_of(command)
    if "not_before" in command.clear:
        terms = terms.model_copy(update={"not_before": at})
    message = BatchControlled(
        batch_id=command.batch_id,
        owner=header.owner,
        action=command.action,
        priority=command.priority if command.action == "change" else None,
        round=None if command.action == "change" else round_,
        terms=terms,
        clear=[name for name in command.clear if name != "not_before"],
        select=command.select,
        except_ordinals=[0, *invalid] if preview and header.source_mode else invalid,
        patch=command.patch,
        forced=forced,
        at=at,
    )
    return EncodedMessage(message.type, message.encode())


async def _record_effects(
    locked: LockedBatch, header: BatchHeader, command: BatchControl, preview: RetryPreview | None
) -> list[EncodedMessage]:
    """Record the effects of a command on the tables of ingest; returns the messages to send before the command
    itself."""
    if command.action == "change" and command.priority is not None:
        await locked.change_priority(header.batch_id, command.priority)
    if preview and preview.items:
        await locked.start_round(header.batch_id, preview.round + 1, preview.items)
    if command.action == "cancel" and header.state == "open":
        await locked.seal(header.batch_id)
        return closing_messages(header, "cancelled")
    return []

"""Accepts batches of any length from a stream, in constant memory, and continues interrupted uploads.

An interrupted upload is continued by sending the same items again under the same key: pages that the batch has already
are recognised, skipped, and not run twice.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.command_validation import validate_batch_id, validate_terms
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.pager import Pager
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.upload_digest import extend_digest, initial_digest
from services.ingest.domain.volume import Volume
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.persistence.audit_log import current_actor
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import RegisteredWorkload, WorkloadRegistry, check_ready
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.group_commit import GroupCommit
from services.ingest.submission.item_file import ItemFile, Rows
from services.ingest.submission.submit import (
    BACKLOG_FULL,
    SUBMISSION_IN_PROGRESS,
    check_dedup,
    replay,
    unset_later_fields,
)
from services.ingest.submission.upload import BROKER_UNAVAILABLE, CONFLICT, SUPERSEDED, Upload
from shared.observability.telemetry import traceparent
from shared.postgres.outbox import Outbox
from shared.runtime.errors import PublishFailed
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_CHECKING_S = 60.0
"""Longest time in seconds for which the rest of a file with an invalid row is read, to list its invalid rows."""


class UploadService:
    """Receives streams of items."""

    def __init__(
        self,
        store: BatchStore,
        commit: GroupCommit,
        outbox: Outbox,
        registry: WorkloadRegistry,
        notifier: NotifierRegistry,
        dedup_index: DedupIndex,
        backpressure: Backpressure,
        limits: LimitKeeper,
        new_id: Callable[[], UUID],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._commit = commit
        self._outbox = outbox
        self._registry = registry
        self._notifier = notifier
        self._dedup_index = dedup_index
        self._backpressure = backpressure
        self._limits = limits
        self._new_id = new_id
        self._clock = clock
        self._active: set[UUID] = set()

    async def receive(self, owner: str, file: ItemFile) -> CommandAccepted:
        """Accept a batch, or the rest of one, from a file; raises `IngestError`.

        A short upload that fails leaves nothing. A longer one leaves an open batch with all of its full pages, which
        the rejection names.
        """
        with self._limits.upload(owner):
            return await self._receive(owner, file)

    async def _receive(self, owner: str, file: ItemFile) -> CommandAccepted:
        command = file.command
        if self._outbox.is_full:
            raise IngestError(BACKLOG_FULL)
        workload = await self._registry.get(command.workload)
        check_dedup(command, workload)
        header = BatchHeader.from_command(
            command.batch_id or self._new_id(),
            owner,
            command,
            "sealed",
            self._clock(),
            traceparent(),
            current_actor(),
        )
        seed, receiver = _seed(file.media_type, command), self._new_id()
        if command.idempotency_key is not None:
            same = await self._store.find_by_identity(owner, key=command.idempotency_key)
            if same and same[0].confirmed is None:
                digest = await _digest(seed, file.rows(workload))
                return replay(replace(header, digest=digest), same)
            if same:
                resumed = await self._store.resume_upload(same[0].batch_id, receiver)
                if resumed is None:
                    raise IngestError(SUBMISSION_IN_PROGRESS)
                header = resumed
                log.info("upload continued", batch_id=str(header.batch_id), items=header.items)
        if header.confirmed is None:
            self._check(header, workload, command.batch_id)
        upload = Upload(
            header,
            receiver,
            seed,
            workload.validator,
            store=self._store,
            commit=self._commit,
            outbox=self._outbox,
            dedup_index=self._dedup_index,
            backpressure=self._backpressure,
        )
        self._active.add(receiver)
        try:
            return await self._receive_rows(upload, file.rows(workload))
        except BaseException as error:
            if not upload.is_open:
                raise
            await self._suspend(upload)
            rejection = _rejection_of(error)
            if rejection is None:
                raise
            raise IngestError(_with_advice(rejection, upload)) from error
        finally:
            self._active.discard(receiver)

    def _check(self, header: BatchHeader, workload: RegisteredWorkload, chosen_id: UUID | None) -> None:
        """Raise `IngestError` when a new upload cannot be accepted."""
        check_ready(workload)
        self._notifier.check(header.notify)
        now = header.accepted_at
        if rejection := validate_terms(header.terms, now) or validate_batch_id(chosen_id, now):
            raise IngestError(rejection)
        self._backpressure.check(header.owner, Volume(items=1))
        self._limits.take_deliveries(header.owner, header.notify)

    async def renew_leases(self) -> None:
        """Extend the leases of the uploads in progress; has to be called more often than they expire."""
        if self._active:
            await self._store.renew_leases(list(self._active))

    async def _receive_rows(self, upload: Upload, chunks_of_rows: Rows) -> CommandAccepted:
        stop_at = math.inf
        async for rows in chunks_of_rows:
            try:
                upload.add_rows(rows)
            finally:
                await upload.flush()  # full pages before an invalid line are kept
            if upload.rejections.count and stop_at == math.inf:
                stop_at = time.monotonic() + _CHECKING_S
            if time.monotonic() > stop_at:
                upload.rejections.is_cut = True
                break
        header = await upload.finish()
        if header is None:
            key, batch_id = upload.header.idempotency_key, upload.header.batch_id
            return replay(upload.header, await self._store.find_by_identity(upload.header.owner, batch_id, key))
        log.info("upload accepted", batch_id=str(header.batch_id), items=header.items, workload=header.workload)
        return header.to_reply()

    async def _suspend(self, upload: Upload) -> None:
        try:
            await upload.suspend()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("upload left to its lease", error=f"{type(error).__name__}: {error}")
        log.info("upload interrupted", batch_id=str(upload.header.batch_id), items=upload.items)


def _seed(media_type: str, command: BatchSubmit) -> bytes:
    """Return the initial digest of an upload, which is equal for uploads with the same parameters."""
    excluded = {"batch_id", "idempotency_key"} | unset_later_fields(command)
    return initial_digest(media_type + command.model_dump_json(exclude=excluded))


async def _digest(seed: bytes, chunks_of_rows: Rows) -> bytes:
    """Read a file only to compare it; raises `IngestError` when it cannot be read."""
    pager, digest = Pager(), seed
    async for rows in chunks_of_rows:
        for row in rows:
            if isinstance(row, Rejection):
                raise IngestError(row)
            if page := pager.add(ValidatedItem(0, row.raw, row.custom_id, "", None)):
                digest = extend_digest(digest, page)
    rest = pager.drain()
    return extend_digest(digest, rest) if rest else digest


def _rejection_of(error: BaseException) -> Rejection | None:
    if isinstance(error, IngestError):
        return error.rejection
    retryable = isinstance(error, Exception) and (is_transient(error) or isinstance(error, PublishFailed))
    return BROKER_UNAVAILABLE if retryable else None


def _with_advice(rejection: Rejection, upload: Upload) -> Rejection:
    """Return the rejection with the state of the upload, and with how to continue."""
    if rejection.code in {CONFLICT, SUPERSEDED.code}:
        return rejection
    advice = (
        "send the same items again from the first one under the same Idempotency-Key"
        if upload.header.idempotency_key is not None
        else "append the items that follow"
    )
    detail = (
        f"{rejection.detail} The batch {upload.header.batch_id} stays open with its first {upload.items} items. "
        f"To continue, {advice}; or seal or cancel the batch."
    )
    return replace(rejection, detail=detail, batch_id=upload.header.batch_id, items=upload.items)

"""Accepts complete batches and the first items of open ones, for AMQP and HTTP alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import structlog

from batchyard_contracts.message import Message
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from services.ingest.domain.batch import BatchHeader, State
from services.ingest.domain.command_validation import validate_batch_id, validate_terms
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import ValidatedItem, validate_items, validate_source
from services.ingest.domain.pager import encode_pages
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.remote_file import NO_REMOTE_FILES, RemoteFileRules
from services.ingest.domain.volume import volume_of
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.persistence.audit_log import current_actor
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import RegisteredWorkload, WorkloadRegistry, check_ready
from services.ingest.submission.announcement import accepted_message, sealed_messages
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.dedup_index import DedupIndex
from services.ingest.submission.group_commit import GroupCommit
from shared.observability.telemetry import traceparent
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
BACKLOG_FULL = Rejection(
    "backlog_full",
    "The message broker is unavailable, and too many messages are waiting for it. Try again in a moment.",
    503,
)
SUBMISSION_IN_PROGRESS = Rejection(
    "idempotency_in_progress", "An upload under this key is in progress. Try again when it has ended.", 409
)
_LATER_FIELDS = ("not_before", "follow_ups", "items_from", "metadata")
NO_ITEMS = Rejection("no_items", "A batch needs at least one item. Add items, or submit it unsealed and append them.")


class BatchSubmitter:
    """Validates a submission, commits it with all its messages, publishes them, and replies."""

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
        remote_rules: RemoteFileRules = NO_REMOTE_FILES,
        on_remote_files: Callable[[], None] = lambda: None,
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
        self._remote_rules, self._on_remote_files = remote_rules, on_remote_files

    async def submit(self, owner: str, command: BatchSubmit, message_id: str | None = None) -> CommandAccepted:
        """Accept a batch; raises `IngestError`. A repetition under the same key, message id or batch id with the
        same body is the same batch."""
        if self._outbox.is_full:
            raise IngestError(BACKLOG_FULL)
        workload = await self._registry.get(command.workload)
        header = self._header_of(command.batch_id or self._new_id(), owner, command, message_id)
        try:
            items = self._validate(header, command, workload)
        except IngestError:
            if same := await self._find_same(
                header, command
            ):  # a repetition is accepted even if it would be invalid now
                return replay(header, same)
            raise
        encoded = encode_pages(header.batch_id, workload.manifest.name, items, with_keys=command.has_claims)
        header = replace(header, pages=encoded.pages, size=volume_of(items).size)
        if header.state == "sealed":
            messages = sealed_messages(header, workload.validator, encoded.messages)
        else:  # its items may run as they arrive
            messages = [accepted_message(header, workload.validator), *encoded.messages]
        with self._backpressure.reserve(owner, header.volume) as accept:
            if not await self._commit.insert(header, messages, accept):
                return replay(header, await self._find_same(header, command))
        log.info("batch accepted", batch_id=str(header.batch_id), items=header.items, workload=header.workload)
        if header.items_from is not None:
            self._on_remote_files()
        if header.state == "open":
            await self._dedup_index.add(header.batch_id, encoded.new_fingerprints)
        return header.to_reply()

    def _validate(self, header: BatchHeader, command: BatchSubmit, workload: RegisteredWorkload) -> list[ValidatedItem]:
        """Validate a submission, and return its items; raises `IngestError` when it cannot be accepted."""
        check_ready(workload)
        self._notifier.check(command.notify)
        items = _validated_items(command, workload)
        check_dedup(command, workload)
        if command.items_from is not None and (refusal := self._remote_rules.refusal(header.owner, command.items_from)):
            raise IngestError(refusal)
        self._backpressure.check(header.owner, volume_of(items))
        rejection = validate_terms(header.terms, header.accepted_at) or validate_batch_id(
            command.batch_id, header.accepted_at
        )
        if rejection:
            raise IngestError(rejection)
        self._limits.take_deliveries(header.owner, command.notify)
        return items

    async def _find_same(self, header: BatchHeader, command: BatchSubmit) -> list[BatchHeader]:
        """Return the batches with one of the command's identities."""
        return await self._store.find_by_identity(
            header.owner, command.batch_id, header.idempotency_key, header.message_id
        )

    def _header_of(self, batch_id: UUID, owner: str, command: BatchSubmit, message_id: str | None) -> BatchHeader:
        has_items = command.source is None and command.items_from is None
        state: State = "sealed" if command.sealed and has_items else "open"
        unused = {name for name in ("source", "estimate") if not getattr(command, name)}
        return replace(
            BatchHeader.from_command(batch_id, owner, command, state, self._clock(), traceparent(), current_actor()),
            items=len(command.items) if command.source is None else 1,
            message_id=message_id,
            digest=digest_of(command, exclude={"batch_id", "idempotency_key", *unused}),
        )


def replay(header: BatchHeader, same: Sequence[BatchHeader]) -> CommandAccepted:
    """Answer a submission whose identity is taken: with the earlier reply, or with a conflict. Raises `IngestError`."""
    if not same:  # deleted since the insert found it
        raise IngestError(
            Rejection("submission_withdrawn", "An earlier attempt was withdrawn just now. Send the command again.", 503)
        )
    first = same[0]
    if first.confirmed is not None and first.owner == header.owner:
        raise IngestError(SUBMISSION_IN_PROGRESS)
    if len(same) == 1 and first.owner == header.owner and first.digest == header.digest:
        return first.to_reply(replayed=True)
    if header.idempotency_key is not None and first.idempotency_key == header.idempotency_key:
        what = "The idempotency key"
    elif header.message_id is not None and first.message_id == header.message_id:
        what = "The message id"
    else:
        what = "The batch id"
    raise IngestError(Rejection("idempotency_conflict", f"{what} was used for another submission. Use a new one.", 409))


def check_dedup(command: BatchSubmit, workload: RegisteredWorkload) -> None:
    """Raise `IngestError` when duplicates are to be rejected or replaced and the workload has no deduplication key."""
    if command.has_claims and workload.manifest.dedup is None:
        raise IngestError(
            Rejection(
                "no_dedup_key",
                f"The workload {command.workload!r} has no deduplication key, so that no duplicates can be rejected "
                "or replaced. Leave `dedup` out, or use its mode `attach`.",
            )
        )


def no_source(workload: str) -> Rejection:
    """Return the rejection of a source that is sent to a workload without sources."""
    return Rejection("no_source", f"{workload!r} cannot expand a source. Send items.")


def digest_of(command: Message, exclude: set[str]) -> bytes:
    """Return a digest that is equal for equal commands, apart from the excluded fields."""
    text = command.model_dump_json(exclude=exclude | unset_later_fields(command))
    return blake2b(text.encode(), digest_size=16).digest()


def unset_later_fields(command: Message) -> set[str]:
    """Return the fields that an earlier version did not have and that are not set. Digests leave them out, so that a
    command may be repeated across an upgrade."""
    return {name for name in _LATER_FIELDS if not getattr(command, name, None)}


def _validated_items(command: BatchSubmit, workload: RegisteredWorkload) -> list[ValidatedItem]:
    if command.source is not None:
        return [_validated_source(command, workload)]
    if command.items_from is not None:
        return []
    if command.sealed and not command.items:
        raise IngestError(NO_ITEMS)
    items = workload.validator.check_count(len(command.items)) or validate_items(
        workload.validator, command.items, first=0
    )
    if isinstance(items, Rejection):
        raise IngestError(items)
    return items


def _validated_source(command: BatchSubmit, workload: RegisteredWorkload) -> ValidatedItem:
    if not workload.validator.has_source_schema:
        raise IngestError(no_source(command.workload))
    item = validate_source(workload.validator, command.source)
    if isinstance(item, Rejection):
        raise IngestError(replace(item, code="source_invalid").below("/source"))
    return item

"""Takes whole batches and the first items of open ones: one road for the AMQP and for the HTTP door."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import structlog

from batchyard_contracts.message import Message
from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.flow import BatchAccepted
from services.ingest.domain.batch import Header, State
from services.ingest.domain.command_validation import fault_in_terms
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import Entry, entries_of, source_of
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.pager import Note, write_pages
from services.ingest.domain.refused import Refused
from services.ingest.persistence.outbox import Outbox
from services.ingest.persistence.store import Store
from services.ingest.persistence.workload_registry import Announced, Registry, check_ready
from services.ingest.submission.backpressure import Load
from services.ingest.submission.dedup_index import Dedup
from shared.observability.telemetry import traceparent

log = structlog.get_logger()
BUSY = Fault("backlog_full", "The message broker is away and much waits for it. Try again in a moment.", 503)
IN_PROGRESS = Fault(
    "idempotency_in_progress", "An upload under this key is being received. Ask again when it is done.", 409
)
NO_ITEMS = Fault("no_items", "A batch has at least one item. Add items, or submit it unsealed and append them.")


class Submissions:
    """Checks a submission, commits it with all its messages, sends them, and replies."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        registry: Registry,
        dedup: Dedup,
        load: Load,
        new_id: Callable[[], UUID],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._registry = registry
        self._dedup = dedup
        self._load = load
        self._new_id = new_id
        self._clock = clock

    async def submit(self, owner: str, command: BatchSubmit, message_id: str | None = None) -> CommandAccepted:
        """Take a batch; raises `Refused`. The same key, message or batch id with the same body is the same batch."""
        if self._outbox.full:
            raise Refused(BUSY)
        announced = await self._registry.get(command.workload)
        header = self._header(command.batch_id or self._new_id(), owner, command, message_id)
        try:
            entries = self._checked(header, command, announced)
        except Refused:
            if same := await self._same(header, command):  # what has passed since then is no reason to refuse it
                return replay(header, same)
            raise
        written = write_pages(header.batch_id, announced.manifest.name, entries, keyed=command.has_claims)
        header = replace(header, pages=written.pages)
        header_note = accepted_note(header, announced.rules)
        # A sealed batch may run once it is announced, so its pages go first; an open one is announced at the start.
        notes = [*written.notes, header_note] if header.state == "sealed" else [header_note, *written.notes]
        row_id = await self._store.insert(header, notes)
        if row_id is None:
            return replay(header, await self._same(header, command))
        self._load.took(owner, header.items)
        log.info("batch accepted", batch_id=str(header.batch_id), items=header.items, workload=header.workload)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if header.state == "open":
            await self._dedup.remember(header.batch_id, written.seen)
        return header.accepted()

    def _checked(self, header: Header, command: BatchSubmit, announced: Announced) -> list[Entry]:
        """The items; raises `Refused` when they cannot be taken, or not now."""
        check_ready(announced)
        entries = _entries(command, announced)
        check_dedup(command, announced)
        self._load.check(header.owner, header.items)
        if fault := fault_in_terms(header.terms, header.accepted_at):
            raise Refused(fault)
        return entries

    async def _same(self, header: Header, command: BatchSubmit) -> list[Header]:
        """The batches that bear one of the command's identities."""
        return await self._store.same(header.owner, command.batch_id, header.idempotency_key, header.message_id)

    def _header(self, batch_id: UUID, owner: str, command: BatchSubmit, message_id: str | None) -> Header:
        state: State = "sealed" if command.sealed and command.source is None else "open"
        unused = {name for name in ("source", "estimate") if not getattr(command, name)}
        return replace(
            Header.asked(batch_id, owner, command, state, self._clock(), traceparent()),
            items=len(command.items) if command.source is None else 1,
            message_id=message_id,
            digest=digest_of(command, exclude={"batch_id", "idempotency_key", *unused}),
        )


def replay(header: Header, same: Sequence[Header]) -> CommandAccepted:
    """Answer a submission whose identity is taken: by itself, or by another."""
    if not same:  # it was there a moment ago
        raise Refused(
            Fault("submission_withdrawn", "An earlier attempt has just been taken back. Send the command again.", 503)
        )
    first = same[0]
    if first.sent is not None and first.owner == header.owner:
        raise Refused(IN_PROGRESS)
    if len(same) == 1 and first.owner == header.owner and first.digest == header.digest:
        return first.accepted(replayed=True)
    if header.idempotency_key is not None and first.idempotency_key == header.idempotency_key:
        what = "The idempotency key"
    elif header.message_id is not None and first.message_id == header.message_id:
        what = "The message id"
    else:
        what = "The batch id"
    raise Refused(Fault("idempotency_conflict", f"{what} was used for another submission. Choose a new one.", 409))


def check_dedup(command: BatchSubmit, announced: Announced) -> None:
    """Raises `Refused` when items are to be told apart that the workload does not tell apart."""
    if command.has_claims and announced.manifest.dedup is None:
        raise Refused(
            Fault(
                "no_dedup_key",
                f"The workload {command.workload!r} does not say what makes two items the same, so that none can be "
                "rejected or replaced. Leave `dedup` out, or use its mode `attach`.",
            )
        )


def accepted_note(header: Header, rules: Rules) -> Note:
    """The message by which the other services learn of a batch."""
    message = BatchAccepted(
        batch_id=header.batch_id,
        owner=header.owner,
        workload=header.workload,
        priority=header.priority,
        total=header.items if header.state == "sealed" else None,
        name=header.name,
        labels=header.labels,
        notify=header.notify,
        terms=header.terms,
        reuse=header.reuse,
        has_summary=rules.summarized or None,
        unit=rules.unit,
        has_source=True if header.sourced else None,
        accepted_at=header.accepted_at,
    )
    return Note(message.type, message.encode())


def digest_of(command: Message, exclude: set[str]) -> bytes:
    """The same for two commands that ask for the same."""
    return blake2b(command.model_dump_json(exclude=exclude).encode(), digest_size=16).digest()


def _entries(command: BatchSubmit, announced: Announced) -> list[Entry]:
    if command.source is not None:
        return [_source(command, announced)]
    if command.sealed and not command.items:
        raise Refused(NO_ITEMS)
    entries = announced.rules.crowd(len(command.items)) or entries_of(announced.rules, command.items, first=0)
    if isinstance(entries, Fault):
        raise Refused(entries)
    return entries


def _source(command: BatchSubmit, announced: Announced) -> Entry:
    if not announced.rules.take_sources:
        raise Refused(Fault("no_source", f"{command.workload!r} finds no items by itself. Send items."))
    entry = source_of(announced.rules, command.source)
    if isinstance(entry, Fault):
        raise Refused(replace(entry, code="source_invalid"))
    return entry

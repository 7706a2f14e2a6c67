"""Passes on commands that steer a batch, after checking whose it is."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.v1.commands import BatchControl, CommandAccepted
from batchyard_contracts.v1.flow import BatchControlled
from services.ingest.dedup import Dedup
from services.ingest.domain.fault import Fault
from services.ingest.domain.orders import fault_in_order, terms_of
from services.ingest.domain.paging import Note
from services.ingest.ledger import Ledger
from services.ingest.outbox import Outbox
from services.ingest.refusal import NOT_FOUND, Refused
from services.ingest.sealing import closing_notes
from services.ingest.store import Store
from services.ingest.submission import digest_of

log = structlog.get_logger()
NOT_FINISHED = Fault("not_finished", "Only a finished batch can be retried. Wait for its end, or cancel it.", 409)
ID_TAKEN = Fault("idempotency_conflict", "The id was used for another command. Choose a new one.", 409)


class Steering:
    """Pause, resume, cancel, retry and change."""

    def __init__(
        self, store: Store, outbox: Outbox, ledger: Ledger, dedup: Dedup, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._ledger = ledger
        self._dedup = dedup
        self._clock = clock

    async def control(self, owner: str, command: BatchControl, command_id: str | None = None) -> CommandAccepted:
        """Steer a batch; raises `Refused`. A command that comes again under its id acts once."""
        digest = digest_of(command, exclude=set())
        fault = fault_in_order(command, self._clock())
        if fault is not None and not await self._store.has_control(owner, command_id, digest):
            raise Refused(fault)  # a deadline may have passed since the command was taken
        if command.action == "retry" and not await self._store.has_control(owner, command_id, digest):
            await self._check_finished(owner, command)
        async with self._store.locked(command.batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise Refused(NOT_FOUND)
            before = await locked.take_control(owner, command_id, header.batch_id, digest) if command_id else None
            if before is not None:
                if before != digest:
                    raise Refused(ID_TAKEN)
                return header.accepted(replayed=True)
            notes: list[Note] = []
            if command.action == "cancel" and header.state == "open":
                await locked.seal(header.batch_id)
                notes += closing_notes(header, "cancelled")
            if command.action == "change" and command.priority is not None:
                await locked.change_priority(header.batch_id, command.priority)
            notes.append(self._note(owner, command))
            row_id = await locked.note(header, notes)
        log.info("batch steered", batch_id=str(header.batch_id), action=command.action)
        await self._outbox.deliver(row_id, notes, header.traceparent)
        if len(notes) > 1:
            await self._dedup.forget(header.batch_id)
        return header.accepted()

    async def _check_finished(self, owner: str, command: BatchControl) -> None:
        if await self._store.get(command.batch_id, owner) is None:
            raise Refused(NOT_FOUND)
        state = await self._ledger.state(owner, command.batch_id)
        if state is None or state.status != "finished":
            raise Refused(NOT_FINISHED)

    def _note(self, owner: str, command: BatchControl) -> Note:
        message = BatchControlled(
            batch_id=command.batch_id,
            owner=owner,
            action=command.action,
            priority=command.priority if command.action == "change" else None,
            terms=terms_of(command),
            clear=command.clear,
            at=self._clock(),
        )
        return Note(message.type, message.encode())

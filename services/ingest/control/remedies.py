"""Applies the remedies of operators to batches that make no progress."""

from uuid import UUID

import structlog

from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.flow import BatchRemedied
from batchyard_contracts.v1.values import Remedy
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.precondition import NO_PRECONDITION, Precondition
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.announcement import accepted_message
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_FINISHED = Rejection("batch_finished", "The batch has finished: it needs no remedy.", 409)


class BatchRemedies:
    """Passes remedies on to the services that hold the batch. Each may be applied again."""

    def __init__(self, store: BatchStore, outbox: Outbox, registry: WorkloadRegistry) -> None:
        self._store, self._outbox, self._registry = store, outbox, registry

    async def apply(
        self,
        owner: str,
        batch_id: UUID,
        remedy: Remedy,
        reason: str,
        precondition: Precondition = NO_PRECONDITION,
    ) -> CommandAccepted:
        """Apply a remedy to an unfinished batch, and record it with its reason in the audit; raises `IngestError`."""
        async with self._store.lock(batch_id, owner) as locked:
            header = locked.header
            if header is None:
                raise IngestError(NOT_FOUND)
            precondition.check(header)
            if header.finished:
                raise IngestError(_FINISHED)
            messages = []
            if remedy == "replay":
                workload = await self._registry.get(header.workload, locked.connection)
                messages.append(accepted_message(header, workload.validator))
            after = {"round": header.round, "reason": reason}
            await locked.record_audit(f"batch.{remedy}", header, after=after)
            remedied = BatchRemedied(
                batch_id=batch_id,
                owner=header.owner,
                round=header.round,
                remedy=remedy,
                at=await locked.next_control_time(batch_id),
            )
            messages.append(EncodedMessage(remedied.type, remedied.encode()))
            posted = await locked.add_messages(header, messages)
        log.warning("remedy applied", batch_id=str(batch_id), remedy=remedy)
        await self._outbox.deliver(posted)
        return header.to_reply()

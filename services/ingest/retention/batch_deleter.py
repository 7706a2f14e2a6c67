"""Deletes batches that have ended, in all services."""

from typing import Any
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionCompleted
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import NOT_FOUND, IngestError
from services.ingest.domain.precondition import NO_PRECONDITION, Precondition
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.deletion_store import DeletionStore, delete_batches
from services.ingest.persistence.store import BatchStore
from services.ingest.progress.hub import ProgressHub
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.dedup_index import DedupIndex
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_NOT_FINISHED = Rejection(
    "not_finished", "Only a batch that has ended can be deleted. Wait until it ends, or cancel it.", 409
)
_FOLLOWED = Rejection(
    "follow_up_waits",
    "A batch that follows this one is about to read its results. Delete it when that has started.",
    409,
)
_NO_DELETION = Rejection("deletion_not_found", "The batch was not deleted.", 404)


class BatchDeleter:
    """Deletes what ingest has of a batch in one transaction with the request to the other services, which delete their
    part by and by and report it. All of it may be repeated."""

    def __init__(
        self,
        batches: BatchStore,
        deletions: DeletionStore,
        outbox: Outbox,
        aggregator: AggregatorClient,
        progress_hub: ProgressHub,
        dedup_index: DedupIndex,
    ) -> None:
        self._batches, self._deletions, self._outbox = batches, deletions, outbox
        self._aggregator, self._progress_hub, self._dedup_index = aggregator, progress_hub, dedup_index

    async def delete(self, owner: str, batch_id: UUID, precondition: Precondition = NO_PRECONDITION) -> dict[str, Any]:
        """Delete a batch, and return its deletion; that of one that was deleted before. Raises `IngestError`."""
        known_ends = await self._known_ends(owner, batch_id)
        async with self._batches.lock(batch_id, owner) as locked:
            header = locked.header
            posted = []
            if header is not None:
                precondition.check(header)
                if not header.finished and (batch_id, header.round) not in known_ends:
                    raise IngestError(_NOT_FINISHED)
                posted = await delete_batches(locked.connection, [batch_id], "command", {one for one, _ in known_ends})
                if not posted:
                    raise IngestError(_FOLLOWED)
                await locked.record_audit("batch.delete", header, before={"items": header.items, "round": header.round})
        if header is None:
            return await self._deletion(owner, batch_id, NOT_FOUND)
        log.info("batch deleted", batch_id=str(batch_id))
        await self._outbox.deliver(posted)
        await self._progress_hub.forget(batch_id)
        await self._dedup_index.delete(batch_id)
        return await self._deletion(owner, batch_id, NOT_FOUND)

    async def deletion(self, owner: str, batch_id: UUID) -> dict[str, Any]:
        """Return the deletion of a batch: what was deleted, and whether all services have. Raises `IngestError`."""
        is_kept = await self._batches.get(batch_id, owner) is not None
        return await self._deletion(owner, batch_id, _NO_DELETION if is_kept else NOT_FOUND)

    async def on_deletion_completed(self, message: DeletionCompleted, _: Envelope) -> None:
        """Record what a service has deleted."""
        if message.kind == "batch":
            await self._deletions.complete(message.batch_id, message.service, message.deleted)

    async def _deletion(self, owner: str, batch_id: UUID, otherwise: Rejection) -> dict[str, Any]:
        found = await self._deletions.deletion(batch_id, owner)
        if found is None:
            raise IngestError(otherwise)
        return found

    async def _known_ends(self, owner: str, batch_id: UUID) -> set[tuple[UUID, int]]:
        """Return the batch with its round if it has ended according to the aggregator: its event may be on the way."""
        header: BatchHeader | None = await self._batches.get(batch_id, owner)
        if header is None or header.finished:
            return set()
        state = await self._aggregator.state(owner, batch_id)
        ended = state is not None and state.status == "finished" and state.round == header.round
        return {(batch_id, header.round)} if ended else set()

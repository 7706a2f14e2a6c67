"""Deletes what is recorded of batches that have ended."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionRequested
from services.aggregator.persistence.deletion_store import plans
from services.aggregator.persistence.store import LedgerStore
from shared.artefacts.results import ResultStore
from shared.messaging.deletion_report import report_of_batches
from shared.messaging.publisher import Publisher
from shared.postgres.deletions import Deletions
from shared.postgres.pool import Pool

log = structlog.get_logger()


class DeletionHandler:
    """Message handler. The batch is marked in the transaction that requests the deletion of its rows."""

    def __init__(
        self,
        store: LedgerStore,
        pool: Pool,
        publisher: Publisher,
        clock: Callable[[], datetime],
        results: ResultStore | None = None,
    ) -> None:
        self._store, self._clock = store, clock
        self._plans = plans(results)
        self.deletions = Deletions(pool, self._plans, report_of_batches(publisher, "aggregator"))

    async def on_deletion_requested(self, message: DeletionRequested, _: Envelope) -> None:
        """Delete the outcomes of a batch, or all of it, by and by. Outcomes are kept if another round has begun."""
        if message.kind not in self._plans:
            return
        is_whole = message.kind == "batch"
        async with self._store.lock([message.batch_id]) as transaction:
            batch = transaction.batches[message.batch_id]
            if not is_whole and (not batch.is_finished or batch.round > message.round):
                log.info("outcomes are kept for another round", batch_id=str(message.batch_id))
                return
            await transaction.mark_deleted(batch, self._clock(), is_whole=is_whole)
            await self.deletions.request([message.batch_id], message.kind, transaction.connection)
        self.deletions.wake.set()  # once more: the request is committed now

    async def delete_stub(self, batch_id: UUID) -> None:
        """Delete a batch by and by whose header never came."""
        async with self._store.lock([batch_id]) as transaction:
            batch = transaction.batches[batch_id]
            if batch.header is None and not batch.is_deleted:
                await transaction.mark_deleted(batch, self._clock(), is_whole=True)
                await self.deletions.request([batch_id], "batch", transaction.connection)
        self.deletions.wake.set()

"""Deletes what is recorded of batches that have ended."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionRequested
from services.aggregator.persistence.deletion_store import PLANS
from services.aggregator.persistence.store import LedgerStore
from shared.messaging.deletion_report import report_of_batches
from shared.messaging.publisher import Publisher
from shared.postgres.deletions import Deletions
from shared.postgres.pool import Pool

log = structlog.get_logger()


class DeletionHandler:
    """Message handler. The batch is marked in the transaction that requests the deletion of its rows."""

    def __init__(self, store: LedgerStore, pool: Pool, publisher: Publisher, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self.deletions = Deletions(pool, PLANS, report_of_batches(publisher, "aggregator"))

    async def on_deletion_requested(self, message: DeletionRequested, _: Envelope) -> None:
        """Delete the outcomes of a batch, or all of it, by and by. Outcomes are kept if another round has begun."""
        if message.kind not in PLANS:
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

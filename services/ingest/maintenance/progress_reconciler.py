"""Asks the aggregator about unfinished batches without recent progress events: one may have been missed."""

from collections import defaultdict
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import structlog

from batchyard_contracts.v1.queries import BatchesQuery
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.backpressure import Backpressure
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
STALE_AFTER = timedelta(seconds=30)
_MAX_BATCHES = 500


class ProgressReconciler:
    """Correction of the numbers of waiting items. Of several processes, one asks about each batch."""

    INTERVAL_S: ClassVar[float] = 2.0

    def __init__(self, pool: Pool, aggregator: AggregatorClient, backpressure: Backpressure) -> None:
        self._pool = pool
        self._aggregator = aggregator
        self._backpressure = backpressure

    async def reconcile(self) -> None:
        """Ask about the batches that are due, an owner at a time."""
        stale: defaultdict[str, list[UUID]] = defaultdict(list)
        for row in await self._pool.fetch(_SQL["claim_stale_batches"], STALE_AFTER, _MAX_BATCHES):
            stale[row["owner"]].append(row["batch_id"])
        for owner, batch_ids in stale.items():
            query = BatchesQuery(owner=owner, batch_ids=batch_ids, limit=len(batch_ids))
            try:
                states = await self._aggregator.batches(query)
            except IngestError as error:  # the aggregator is away; the batches are due again after `STALE_AFTER`
                log.warning("progress is not reconciled", owner=owner, error=str(error))
                continue
            for state in states:
                self._backpressure.record_progress(state.batch_id, ProgressSnapshot.from_state(state))

"""Asks the aggregator about unfinished batches without recent progress events: one may have been missed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import structlog

from batchyard_contracts.v1.queries import BatchesQuery, BatchState
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.backpressure import Backpressure
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

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
        stale: defaultdict[str, dict[UUID, int]] = defaultdict(dict)
        for row in await self._pool.fetch(_SQL["claim_stale_batches"], STALE_AFTER, _MAX_BATCHES):
            stale[row["owner"]][row["batch_id"]] = row["round"]
        for owner, rounds in stale.items():
            query = BatchesQuery(owner=owner, batch_ids=list(rounds), limit=len(rounds))
            try:
                states = await self._aggregator.batches(query)
            except IngestError as error:  # the aggregator is away; the batches are due again after `STALE_AFTER`
                log.warning("progress is not reconciled", owner=owner, error=str(error))
                continue
            for state in states:
                self._backpressure.record_progress(state.batch_id, ProgressSnapshot.from_state(state))
            await self._undo_rounds(rounds, states)

    async def _undo_rounds(self, rounds: Mapping[UUID, int], states: Sequence[BatchState]) -> None:
        """Take back rounds that the aggregator did not open, because no item was left to run again. If it opens one
        later after all, its events say so."""
        undone = [
            (state.batch_id, rounds[state.batch_id], state.round, state.counts.ended)
            for state in states
            if state.status == "finished" and state.round < rounds[state.batch_id]
        ]
        if undone:
            log.warning("rounds were not opened", batches=[str(batch_id) for batch_id, *_ in undone])
            await self._pool.execute(_SQL["undo_rounds"], *columns(undone, 4))

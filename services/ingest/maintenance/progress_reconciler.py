"""Asks the aggregator about unfinished batches without recent progress events: one may have been missed."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from batchyard_contracts.v1.queries import BatchesQuery
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.backpressure import Backpressure
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
STALE_AFTER = timedelta(seconds=30)
_INTERVAL_S = 2.0
_MAX_BATCHES = 500


class ProgressReconciler:
    """A loop that corrects the numbers of waiting items. Of several processes, one asks about each batch."""

    def __init__(self, pool: Pool, aggregator: AggregatorClient, backpressure: Backpressure, pulse: Pulse) -> None:
        self._pool = pool
        self._aggregator = aggregator
        self._backpressure = backpressure
        self._pulse = pulse
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Reconcile until `stop`."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._reconcile()
            except Exception as error:
                if not (isinstance(error, IngestError) or is_transient(error)):
                    raise
                log.warning("progress is not reconciled", error=f"{type(error).__name__}: {error}")
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def _reconcile(self) -> None:
        stale: defaultdict[str, list[UUID]] = defaultdict(list)
        for row in await self._pool.fetch(_SQL["claim_stale_batches"], STALE_AFTER, _MAX_BATCHES):
            stale[row["owner"]].append(row["batch_id"])
        for owner, batch_ids in stale.items():
            self._pulse.beat()
            query = BatchesQuery(owner=owner, batch_ids=batch_ids, limit=len(batch_ids))
            for state in await self._aggregator.batches(query):
                self._backpressure.record_progress(state.batch_id, ProgressSnapshot.from_state(state))

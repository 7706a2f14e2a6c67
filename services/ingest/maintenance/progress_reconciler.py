"""Asks the ledger about unfinished batches of which no event has come for a while: one may have been missed."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from batchyard_contracts.v1.queries import BatchesQuery
from services.ingest.domain.progress_snapshot import Frame
from services.ingest.domain.refused import Refused
from services.ingest.queries.aggregator_client import Ledger
from services.ingest.submission.backpressure import Load
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.health import Pulse
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
QUIET = timedelta(seconds=30)
_EVERY_S = 2.0
_AT_ONCE = 500


class Recount:
    """A loop that mends the numbers of waiting items. Of several processes, one asks about each batch."""

    def __init__(self, pool: Pool, ledger: Ledger, load: Load, pulse: Pulse) -> None:
        self._pool = pool
        self._ledger = ledger
        self._load = load
        self._pulse = pulse
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopping.is_set():
            self._pulse.beat()
            try:
                await self._ask()
            except Exception as error:
                if not (isinstance(error, Refused) or is_transient(error)):
                    raise
                log.warning("waiting items are not recounted", error=f"{type(error).__name__}: {error}")
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def _ask(self) -> None:
        quiet: defaultdict[str, list[UUID]] = defaultdict(list)
        for row in await self._pool.fetch(_SQL["quiet_batches"], QUIET, _AT_ONCE):
            quiet[row["owner"]].append(row["batch_id"])
        for owner, batch_ids in quiet.items():
            self._pulse.beat()
            query = BatchesQuery(owner=owner, batch_ids=batch_ids, limit=len(batch_ids))
            for state in await self._ledger.batches(query):
                self._load.hear(state.batch_id, Frame.of_state(state))

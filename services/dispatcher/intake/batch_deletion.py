"""Deletes what the dispatcher stores of batches that have ended, and of batches whose header never came."""

from collections.abc import Callable
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionRequested
from services.dispatcher.persistence.deletion_store import PLANS, DeletionStore
from services.dispatcher.state.state import DispatcherState
from shared.messaging.deletion_report import report_of_batches
from shared.messaging.publisher import Publisher
from shared.postgres.deletions import Deletions, LotSize
from shared.postgres.pool import Pool

log = structlog.get_logger()
_FIRST = UUID(int=0)
_BATCHES_AT_A_TIME = 500
_MOST_LEFTOVERS = 5000
CLEANUP_PAUSE_S = 0.1
"""Pause in seconds between two steps of the clean-up, so that others can use the database."""


class BatchDeletion:
    """Message handler, and the clean-up of what no batch has."""

    def __init__(
        self,
        state: DispatcherState,
        pool: Pool,
        publisher: Publisher,
        forget: Callable[[UUID], None],
        orphan_days: float,
    ) -> None:
        self._state, self._store = state, DeletionStore(pool)
        self._forget, self._orphan_days = forget, orphan_days
        self.deletions = Deletions(pool, PLANS, report_of_batches(publisher, "dispatcher"))
        self._after = _FIRST
        self._leftovers = LotSize(_MOST_LEFTOVERS)

    async def on_deletion_requested(self, message: DeletionRequested, _: Envelope) -> None:
        """Forget a batch, and delete its rows by and by. A retry that comes later finds its items deleted."""
        if message.kind not in PLANS:
            return
        is_whole = message.kind == "batch"
        async with self._state.control_lock:
            begun = await self._store.begin(message.batch_id, message.round, message.kind, even_if_later=is_whole)
            if begun:
                self._forget(message.batch_id)
        if begun:
            self.deletions.wake.set()
        else:
            log.info("payloads are kept for another round", batch_id=str(message.batch_id))

    async def clean_up(self) -> float | None:
        """Look at some batches for orphans, and delete some leftovers; return a pause if there is more to do."""
        stored = await self._store.stored_batches(self._after, _BATCHES_AT_A_TIME, self._orphan_days)
        if orphans := [batch_id for batch_id, is_orphaned in stored if is_orphaned]:
            log.warning("pages without a batch are deleted", batches=len(orphans), days=self._orphan_days)
            await self.deletions.request(orphans, "orphan")
        has_more = len(stored) == _BATCHES_AT_A_TIME
        self._after = stored[-1][0] if has_more else _FIRST
        try:
            deleted = await self._store.delete_leftovers(self._orphan_days, self._leftovers.rows)
        except TimeoutError:
            self._leftovers.shrink()
            raise
        self._leftovers.grow()
        return CLEANUP_PAUSE_S if has_more or deleted else None

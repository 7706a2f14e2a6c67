"""Recounts idle batches from their rows, repairs counters that differ, and finishes rounds that should have ended.

None of this should ever be needed: each warning that it logs points to a defect elsewhere.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from services.aggregator.domain.batch import Batch
from services.aggregator.persistence.store import LedgerStore, LedgerTransaction
from services.aggregator.publishing.batch_changes import BatchChangePublisher, finished_messages
from shared.postgres.outbox import OutboxMessage

log = structlog.get_logger()


class Reconciler:
    """Check of every unfinished batch, once after it has become idle and then once an hour."""

    def __init__(
        self,
        store: LedgerStore,
        batch_changes: BatchChangePublisher,
        clock: Callable[[], datetime],
        *,
        idle_s: float,
    ) -> None:
        self._store = store
        self._batch_changes = batch_changes
        self._clock = clock
        self._idle_s = idle_s

    async def reconcile_next(self) -> float | None:
        """Check one batch that is due and return 0; return None if no batch is due."""
        async with self._store.lock_idle_batch(self._idle_s) as transaction:
            before = next(iter(transaction.batches.values()), None)
            if before is not None:
                after, messages = await self._reconcile(transaction, before)
        if before is None:
            return None
        if after != before:
            self._batch_changes.publish([after], messages)
        return 0.0

    async def _reconcile(self, transaction: LedgerTransaction, before: Batch) -> tuple[Batch, list[OutboxMessage]]:
        counted = await transaction.count_rows(before)
        after = before.reconcile(counted).finish_if_complete(self._clock())
        await transaction.mark_checked(before)
        if after == before:
            return after, []
        log.warning(
            "counters repaired",
            batch_id=str(before.batch_id),
            counted=str(counted),
            counters=str(before.counters),
            finished=after.is_finished,
        )
        await transaction.save([after])
        return after, await transaction.add_to_outbox(finished_messages([after]))

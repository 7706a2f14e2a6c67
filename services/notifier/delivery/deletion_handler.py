"""Deletes the deliveries of batches that have ended."""

from typing import ClassVar

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import DeletionRequested
from shared.messaging.deletion_report import report_of_batches
from shared.messaging.publisher import Publisher
from shared.postgres.deletions import Deletions, Plans
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.notifier.persistence", "deletions.sql")
_PLANS: Plans = {
    "deliveries": [("deliveries", _SQL["delete_ended_deliveries"]), ("rounds", _SQL["delete_told_rounds"])],
    "batch": [(table, _SQL[f"delete_{table}"]) for table in ("deliveries", "rounds", "batches")],
}
_MOST_AT_A_TIME, _PAUSE_S = 2000, 0.5


class DeletionHandler:
    """Message handler. A delivery that is attempted yet is deleted with its batch only."""

    FORGET_INTERVAL_S: ClassVar[float] = 600.0

    def __init__(self, pool: Pool, publisher: Publisher, days: float) -> None:
        """`days`: time for which the ids of deleted batches, and alerts, are kept."""
        self._pool, self._days = pool, days
        self.deletions = Deletions(pool, _PLANS, report_of_batches(publisher, "notifier"))

    async def on_deletion_requested(self, message: DeletionRequested, _: Envelope) -> None:
        """Delete the deliveries of a batch by and by."""
        if message.kind in _PLANS:
            await self._pool.execute(_SQL["begin_deletion"], message.batch_id, message.kind)
            self.deletions.wake.set()

    async def forget_old(self) -> float | None:
        """Forget ids of batches that were deleted long ago, and old alerts; return a pause if there may be more."""
        tags = [
            await self._pool.execute(_SQL[statement], self._days, _MOST_AT_A_TIME)
            for statement in ("forget_deleted", "delete_old_alerts")
        ]
        return _PAUSE_S if any(int(tag.rpartition(" ")[2]) == _MOST_AT_A_TIME for tag in tags) else None

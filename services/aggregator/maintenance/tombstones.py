"""Forgets batches that were deleted long ago, and deletes those whose header never came."""

from collections.abc import Awaitable, Callable
from typing import ClassVar
from uuid import UUID

import structlog

from services.aggregator.persistence.deletion_store import SQL
from shared.artefacts.results import ResultsAway, ResultStore
from shared.postgres.pool import Pool

log = structlog.get_logger()
_MOST_BATCHES = 500
_MOST_FILES = 1000
_PAUSE_S = 0.5


class Tombstones:
    """Background step. The row of a deleted batch is kept for some days, so that late messages do not bring it back.

    A worker may have stored a result after the deletion; such files go with the row.
    """

    INTERVAL_S: ClassVar[float] = 600.0

    def __init__(
        self, pool: Pool, results: ResultStore | None, delete: Callable[[UUID], Awaitable[None]], days: float
    ) -> None:
        """`delete` begins the deletion of a batch."""
        self._pool, self._results, self._delete, self._days = pool, results, delete, days

    async def forget(self) -> float | None:
        """Forget one lot; return a pause if there may be more."""
        old = [row["batch_id"] for row in await self._pool.fetch(SQL["old_tombstones"], self._days, _MOST_BATCHES)]
        if old:
            for batch_id in old if self._results is not None else ():
                await self._delete_files(batch_id)
            await self._pool.execute(SQL["delete_tombstones"], old)
        stubs = [row["batch_id"] for row in await self._pool.fetch(SQL["old_stubs"], self._days, _MOST_BATCHES)]
        for batch_id in stubs:
            log.warning("the header of a batch never came, it is deleted", batch_id=str(batch_id))
            await self._delete(batch_id)
        return _PAUSE_S if _MOST_BATCHES in (len(old), len(stubs)) else None

    async def _delete_files(self, batch_id: UUID) -> None:
        """Delete the files of a batch. Raises `ConnectionError` while the store is away, which is an outage."""
        try:
            while self._results is not None and await self._results.delete(batch_id, _MOST_FILES):
                log.info("results of a deleted batch were stored late", batch_id=str(batch_id))
        except ResultsAway as error:
            raise ConnectionError(str(error)) from error

"""The table of failed attempts: the last five of each item, and none of items that succeed at once."""

from collections.abc import Sequence

import asyncpg

from batchyard_contracts.v1.queries import MAX_ATTEMPTS
from services.aggregator.domain.failed_attempts import AttemptRow
from shared.postgres.pool import Pool
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.aggregator.persistence", "attempts.sql")


class AttemptStore:
    """Repository of failed attempts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save(self, attempts: Sequence[AttemptRow]) -> None:
        """Save failed attempts; what was saved before stays as it is."""
        if attempts:
            await self._pool.execute(_SQL["save_attempts"], *columns(attempts, 7), MAX_ATTEMPTS)

    async def of_item(self, key: int, ordinal: int) -> list[asyncpg.Record]:
        """Return the failed attempts of an item, the newest first."""
        return await self._pool.fetch(_SQL["attempts_of"], key, ordinal, MAX_ATTEMPTS)

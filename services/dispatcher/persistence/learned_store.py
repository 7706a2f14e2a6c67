"""The column of what the forecasts of a workload are made from."""

from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.dispatcher.persistence", "learned.sql")


class LearnedStore:
    """Reads and writes documents, one for each workload that a worker has announced. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> dict[str, str]:
        """Return the documents by workload."""
        return {row["name"]: row["learned"] for row in await self._pool.fetch(_SQL["learned"])}

    async def save(self, workload: str, document: str) -> None:
        """Save the document of a workload in place of the earlier one."""
        await self._pool.execute(_SQL["save_learned"], workload, document)

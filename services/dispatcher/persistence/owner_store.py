"""The table of owners' weights."""

from services.dispatcher.domain.scheduling.owner_weights import OwnerWeights
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.dispatcher.persistence", "owners.sql")


class OwnerStore:
    """Reads and writes weights. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self, weights: OwnerWeights) -> None:
        """Load the weights that operators have set."""
        for row in await self._pool.fetch(_SQL["weights"]):
            weights.set(row["owner"], row["weight"])

    async def save(self, owner: str, weight: float | None, number: int) -> bool:
        """Save a change; False if a later one, or this one, was saved before."""
        return await self._pool.fetchval(_SQL["save_weight"], owner, weight, number) is not None

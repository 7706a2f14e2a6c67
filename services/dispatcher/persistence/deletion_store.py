"""The statements that delete what is stored of a batch."""

from collections.abc import Sequence
from uuid import UUID

from shared.postgres.deletions import Plans
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.dispatcher.persistence", "deletions.sql")
_TABLES = [
    (table, _SQL[f"delete_{table}"])
    for table in ("pages", "retries", "patched", "leases", "dropped", "steering", "terms")
]
PLANS: Plans = {"payloads": _TABLES, "batch": _TABLES, "orphan": [("pages", _SQL["delete_orphaned_pages"])]}
"""Tables of the dispatcher with rows of a batch: all serve to run its items. `orphan`: its header never came."""


class DeletionStore:
    """Begins deletions, and finds what no batch has."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, batch_id: UUID, round_: int, kind: str, *, even_if_later: bool) -> bool:
        """Forget a batch and request the deletion of its rows; False if a later round has begun."""
        return bool(await self._pool.fetchval(_SQL["begin_deletion"], batch_id, round_, even_if_later, kind))

    async def stored_batches(self, after: UUID, limit: int, days: float) -> Sequence[tuple[UUID, bool]]:
        """Return batches with pages in the order of their ids, each with whether its header never came."""
        rows = await self._pool.fetch(_SQL["orphaned_batches"], after, limit, days)
        return [(row["batch_id"], row["orphaned"]) for row in rows]

    async def delete_leftovers(self, days: float, limit: int) -> int:
        """Delete some controls without a batch, marks of withdrawn batches and expired claims; return their number."""
        return int(await self._pool.fetchval(_SQL["delete_leftovers"], days, limit))

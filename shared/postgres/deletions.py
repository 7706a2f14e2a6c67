"""Deletes the rows of a key in bounded lots, so that no statement holds locks or keeps the disk busy for long.

Each key is in the table `deletions` until all its rows are gone, so that a crash only interrupts its deletion. A lot is
committed with the numbers of rows that are gone so far, which therefore add up whatever happens. A lot that takes too
long is rolled back, and the next one is smaller.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson
import structlog

from shared.observability import metrics
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("shared.postgres", "deletions.sql")
MOST_ROWS = 2000
STATEMENT_S = 5.0
"""Longest time in seconds that the deletion of one lot may take."""
_GROWTH = 20
"""Number of lots in which a lot grows from nothing to its largest size."""
_LONGEST_PAUSE_S = 1.0
_deleted_rows = metrics.counter("batchyard.rows.deleted", "Rows that were deleted in lots, by plan and table.")
DeleteFiles = Callable[[UUID, int], Awaitable[int]]
"""Deletes files of a key, at most so many, and returns their number."""
Step = tuple[str, str | DeleteFiles]
"""A table with the statement that deletes a lot of its rows, whose arguments are the key and the number of rows; or a
name for files with the function that deletes a lot of them."""
Plans = Mapping[str, Sequence[Step]]
"""Plans by name: steps in the order in which they are taken."""


class LotSize:
    """Number of rows of a lot: halved by each that takes too long, and growing again with each that does not."""

    def __init__(self, most: int) -> None:
        self._most = self.rows = most

    def shrink(self) -> bool:
        """Make lots smaller; False if they cannot be."""
        smaller = self.rows > 1
        self.rows = max(1, self.rows // 2)
        return smaller

    def grow(self) -> None:
        """Make lots larger."""
        self.rows = min(self._most, self.rows + max(1, self._most // _GROWTH))


@dataclass(frozen=True, slots=True)
class Deletion:
    """A key whose rows are deleted by a plan, and the numbers of those that are gone, by table."""

    key: UUID
    plan: str
    deleted: Mapping[str, int]


class Deletions:
    """Deletions of a service. `on_end` is told of each before it is forgotten, again after a crash in between."""

    def __init__(
        self,
        pool: Pool,
        plans: Plans,
        on_end: Callable[[Deletion], Awaitable[None]],
        *,
        most_rows: int = MOST_ROWS,
        statement_s: float = STATEMENT_S,
    ) -> None:
        self._pool, self._plans, self._on_end, self._statement_s = pool, plans, on_end, statement_s
        self.lot = LotSize(most_rows)
        self.wake = asyncio.Event()
        """Set when a deletion was requested."""

    async def request(self, keys: Sequence[UUID], plan: str, connection: PooledConnection | None = None) -> None:
        """Request the deletion of the rows of some keys, with `connection` in its transaction. May be repeated."""
        await (connection or self._pool).execute(_SQL["request"], list(keys), plan)
        self.wake.set()

    async def update(self) -> float | None:
        """Delete one lot; return the pause until the next one, None if nothing is due.

        The pause is as long as the lot took, so that others have the disk for half of the time.
        """
        began = time.monotonic()
        running: Deletion | None = None
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                running = await self._next(connection)
                if running is None:
                    return None
                await self._delete_lot(connection, running)
        except (TimeoutError, asyncpg.QueryCanceledError):
            if running is None:
                raise
            if not self.lot.shrink():
                await self._pool.execute(_SQL["postpone"], running.key, running.plan)
            log.warning("lot took too long to delete", key=str(running.key), plan=running.plan, rows=self.lot.rows)
        except Exception as error:
            if running is not None and not is_transient(error):  # a defect for one key holds no other up
                await self._pool.execute(_SQL["postpone"], running.key, running.plan)
            raise
        return min(time.monotonic() - began, _LONGEST_PAUSE_S)

    async def _next(self, connection: PooledConnection) -> Deletion | None:
        row = await connection.fetchrow(_SQL["next"])
        return None if row is None else Deletion(row["key"], row["plan"], orjson.loads(row["deleted"]))

    async def _delete_lot(self, connection: PooledConnection, running: Deletion) -> None:
        """Delete a lot of the first table that has rows; if none has, the deletion ends."""
        for table, step in self._plans.get(running.plan, ()):
            if isinstance(step, str):
                tag = await connection.execute(step, running.key, self.lot.rows, timeout=self._statement_s)
                rows = int(tag.rpartition(" ")[2])
            else:
                async with asyncio.timeout(self._statement_s):
                    rows = await step(running.key, self.lot.rows)
            if rows:
                deleted = {**running.deleted, table: running.deleted.get(table, 0) + rows}
                await connection.execute(_SQL["record"], running.key, running.plan, orjson.dumps(deleted).decode())
                _deleted_rows.add(rows, {"plan": running.plan, "table": table})
                self.lot.grow()
                return
        await self._on_end(running)
        await connection.execute(_SQL["end"], running.key, running.plan)
        log.info("rows deleted", key=str(running.key), plan=running.plan, deleted=dict(running.deleted))

"""Outcomes for a peer that keeps none: its handler writes each as one durable row, and the submitter counts them.

It runs in the peer's own environment, which has asyncpg and orjson.
"""

import asyncio

import asyncpg
import orjson

from benchmarks.peers.submitter import DATABASE_URL

TABLE = "CREATE TABLE result (batch int, ordinal int, value bytea NOT NULL, PRIMARY KEY (batch, ordinal))"
_SAVE = "INSERT INTO result VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_POLL_S, _POLL_ONE_S = 0.02, 0.002


class Rows:
    """The table of results. It connects when it is first used: a worker's tasks have no earlier moment."""

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def save(self, batch: int, ordinal: int, value: object) -> None:
        """Write one, in a transaction of its own: a handler knows no other item."""
        await (await self._connected()).execute(_SAVE, batch, ordinal, orjson.dumps(value))

    async def until(self, batch: int, items: int) -> None:
        """Return when all are there; nothing tells, so the database is asked."""
        pool, pause_s = await self._connected(), _POLL_ONE_S if items == 1 else _POLL_S
        while await pool.fetchval("SELECT count(*) FROM result WHERE batch = $1", batch) < items:  # noqa: ASYNC110
            await asyncio.sleep(pause_s)

    async def added_up(self, batch: int) -> tuple[int, int]:
        """Return the number of rows, and their sum."""
        rows = await (await self._connected()).fetch("SELECT value FROM result WHERE batch = $1", batch)
        return len(rows), sum(orjson.loads(row["value"])["n"] for row in rows)

    async def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(DATABASE_URL, min_size=1, max_size=self._most)
        return self._pool


async def make_table() -> None:
    """Make the table, once."""
    connection = await asyncpg.connect(DATABASE_URL)
    await connection.execute(TABLE)
    await connection.close()

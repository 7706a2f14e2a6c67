"""Rate at which the outcome rows of a batch are copied into an empty table, without counting them."""

import asyncio
import time
from collections.abc import Sequence

import asyncpg

ROWS = 1000
CONNECTIONS = 2
_TABLE = "limit_outcomes"


async def rows_of(database_url: str, most: int) -> list[asyncpg.Record]:
    """Outcomes that the ledger has written."""
    connection = await asyncpg.connect(database_url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM aggregator.outcomes LIMIT $1", most)
        return rows
    finally:
        await connection.close()


async def inserted(database_url: str, rows: Sequence[asyncpg.Record]) -> float:
    """Seconds to copy them, in transactions of `ROWS` on `CONNECTIONS` at once, keys and indexes included."""
    pool = await asyncpg.create_pool(database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    async with pool:
        await pool.execute(f"CREATE TABLE {_TABLE} (LIKE aggregator.outcomes INCLUDING ALL)")
        try:
            pieces = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
            began = time.perf_counter()
            await asyncio.gather(*(_copy(pool, pieces[number::CONNECTIONS]) for number in range(CONNECTIONS)))
            seconds = time.perf_counter() - began
            if await pool.fetchval(f"SELECT count(*) FROM {_TABLE}") != len(rows):  # our own name
                raise AssertionError
        finally:
            await pool.execute(f"DROP TABLE {_TABLE}")
    return seconds


async def _copy(pool: asyncpg.Pool, pieces: Sequence[Sequence[asyncpg.Record]]) -> None:
    async with pool.acquire() as connection:
        for piece in pieces:
            await connection.copy_records_to_table(_TABLE, records=map(tuple, piece))

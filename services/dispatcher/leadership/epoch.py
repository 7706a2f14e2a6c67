"""The time of one active dispatcher: its number, and connections that can write nothing once there is a later one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from services.dispatcher.settings import DispatcherSettings
from shared.postgres.pool import Pool, open_pool

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic for type checkers alone

FENCE_LOCK = 1717923171
"""An advisory lock, which writes of a tenure share and its successor's beginning has alone; see 0009_tenure.sql."""
KEEPALIVE = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}
"""How soon PostgreSQL drops a connection, and its locks, whose other end has vanished without a word."""


async def begin(lock: Connection) -> int:
    """Begin a tenure, when no write of an earlier one is under way any more."""
    async with lock.transaction():
        await lock.execute("SELECT pg_advisory_xact_lock($1)", FENCE_LOCK)
        number: int = await lock.fetchval(
            "INSERT INTO dispatcher.tenure (number) VALUES (1) "
            "ON CONFLICT (one) DO UPDATE SET number = tenure.number + 1 RETURNING number"
        )
    return number


@asynccontextmanager
async def open_epoch_pool(settings: DispatcherSettings, number: int) -> AsyncIterator[Pool]:
    """Connections of a tenure, cut at its end."""
    session = {"batchyard.tenure": str(number), "idle_in_transaction_session_timeout": "10s", **KEEPALIVE}
    pool = await open_pool(settings, "dispatcher", "services.dispatcher.persistence", session)
    try:
        yield pool
    finally:
        pool.terminate()

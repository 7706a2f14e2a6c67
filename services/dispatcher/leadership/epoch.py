"""The epoch of an active dispatcher: its number, and connections that cannot write once there is a later epoch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from services.dispatcher.settings import DispatcherSettings
from shared.postgres.pool import Pool, open_pool

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic only for type checkers

FENCE_LOCK = 1717923171
"""Advisory lock that the writes of an epoch share and that the beginning of the next one takes exclusively; see
0009_tenure.sql."""
KEEPALIVE = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}
"""Settings by which PostgreSQL soon drops a connection, and its locks, whose client has vanished."""


async def begin(lock: Connection) -> int:
    """Begin an epoch as soon as no write of an earlier one is in progress; returns its number."""
    async with lock.transaction():
        await lock.execute("SELECT pg_advisory_xact_lock($1)", FENCE_LOCK)
        number: int = await lock.fetchval(
            "INSERT INTO dispatcher.tenure (number) VALUES (1) "
            "ON CONFLICT (one) DO UPDATE SET number = tenure.number + 1 RETURNING number"
        )
    return number


@asynccontextmanager
async def open_epoch_pool(settings: DispatcherSettings, number: int) -> AsyncIterator[Pool]:
    """Open the connections of an epoch, and close them at its end."""
    session = {"batchyard.tenure": str(number), "idle_in_transaction_session_timeout": "10s", **KEEPALIVE}
    pool = await open_pool(settings, "dispatcher", "services.dispatcher.persistence", session)
    try:
        yield pool
    finally:
        pool.terminate()

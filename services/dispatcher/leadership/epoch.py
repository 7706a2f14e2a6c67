"""The epoch of an active dispatcher: it begins with a lease; its connections cannot write once there is a later one.

The lease ends at a time of PostgreSQL's clock, so no clock of a process counts.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import asyncpg

from services.dispatcher.settings import DispatcherSettings
from shared.postgres.pool import Pool, open_pool
from shared.postgres.queries import load_queries

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic only for type checkers

LEASE_S = 2.5
"""Seconds after its last renewal at which the lease of a frozen, lost or dead dispatcher ends."""
FENCE_LOCK = 1717923171
"""Advisory lock that the writes of an epoch share and that the beginning of the next one takes exclusively; see
0009_tenure.sql."""
KEEPALIVE = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}
"""Settings by which PostgreSQL soon drops a connection, and its locks, whose client has vanished."""
IN_ORDER = {"enable_bitmapscan": "off"}
"""Settings by which parts of a batch are read in the order of an index. While the statistics do not know a new batch, a
bitmap scan seems cheap: each part would read and sort all that follow, which takes time by the square of the batch."""
SQL = load_queries("services.dispatcher.persistence", "leadership.sql")
LeaseState = Literal["held", "ended", "released"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A begun epoch. Its lease lasts at least until `leased_until` (monotonic seconds), longer if it is renewed."""

    number: int
    leased_until: float


async def connect(settings: DispatcherSettings, **session: str) -> Connection:
    """Open a connection for the lease. A statement on it takes no longer than the lease lasts.

    `session`: further PostgreSQL settings of the connection.
    """
    named = {"search_path": "dispatcher", "application_name": "batchyard-dispatcher-lease"}
    return await asyncpg.connect(
        settings.database_url,
        timeout=LEASE_S,
        command_timeout=LEASE_S,
        server_settings={**named, **KEEPALIVE, **session},
    )


async def lease_state(connection: Connection) -> LeaseState:
    """Return whether a dispatcher holds the lease, has released it, or has let it end."""
    state: LeaseState | None = await connection.fetchval(SQL["lease_state"])
    return state or "released"


async def begin(connection: Connection) -> Epoch | None:
    """Take the lease and begin an epoch, unless another dispatcher is faster.

    Writes of the earlier epoch that are in progress are undone, since its process may be frozen.
    """
    await connection.execute(SQL["end_earlier_writes"], FENCE_LOCK)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", FENCE_LOCK)
        begun_at = time.monotonic()
        number: int | None = await connection.fetchval(SQL["begin_epoch"], LEASE_S)
    return None if number is None else Epoch(number, begun_at + LEASE_S)


async def renew(connection: Connection, number: int) -> bool:
    """Renew the lease of an epoch; False if there is a later epoch."""
    return await connection.fetchval(SQL["renew_lease"], number, LEASE_S) is not None


async def release(connection: Connection, number: int) -> None:
    """End the lease of an epoch at once, so that the next one need not wait."""
    await connection.execute(SQL["release_lease"], number)


@asynccontextmanager
async def open_epoch_pool(settings: DispatcherSettings, number: int) -> AsyncIterator[Pool]:
    """Open the connections of an epoch, and close them at its end."""
    session = {"batchyard.tenure": str(number), "idle_in_transaction_session_timeout": "10s", **KEEPALIVE, **IN_ORDER}
    pool = await open_pool(settings, "dispatcher", "services.dispatcher.persistence", session)
    try:
        yield pool
    finally:
        pool.terminate()

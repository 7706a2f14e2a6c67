"""The connection pool of one service, bound to its schema."""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from shared.postgres.migrations import apply_migrations
from shared.runtime.settings import Settings
from shared.runtime.transient import retry_transient

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    PooledConnection = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool  # generic for type checkers alone
    PooledConnection = PoolConnectionProxy

ACQUIRE_TIMEOUT_S = 30.0
"""Longest time in seconds that a task waits for a connection; then it fails as if PostgreSQL was away."""


class _PatientPool(Pool):
    """A pool in which nobody waits for a connection for ever."""

    def acquire(self, *, timeout: float | None = None) -> "PoolAcquireContext[asyncpg.Record]":
        return super().acquire(timeout=ACQUIRE_TIMEOUT_S if timeout is None else timeout)


async def open_pool(settings: Settings, schema: str, package: str, session: Mapping[str, str] | None = None) -> Pool:
    """Migrate the schema and open a pool with it as the search path; waits until PostgreSQL is available.

    `session`: further PostgreSQL settings of each connection.
    """

    async def attempt() -> Pool:
        await apply_migrations(settings.database_url, schema, files(package) / "migrations")
        return await _PatientPool(
            settings.database_url,
            min_size=1,
            max_size=settings.database_pool,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            command_timeout=60,
            reset=_skip_reset,
            server_settings={"search_path": schema, "application_name": f"batchyard-{schema}", **(session or {})},
        )

    return await retry_transient(attempt, "PostgreSQL")


async def _skip_reset(_: object) -> None:
    """Skip the reset of a released connection, which is a round trip: services do not change session state."""

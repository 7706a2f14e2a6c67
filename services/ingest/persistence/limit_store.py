"""Statements of ingest on the limits of owners."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from services.ingest.persistence.message_insert import insert_messages
from shared.postgres.outbox import OutboxMessage
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "limits.sql")
Changes = dict[str, Any]
"""Limits that were set for an owner, by name."""


class LimitStore:
    """Repository of the limits that were set for owners."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self) -> dict[str, Changes]:
        """Return the limits that were set, by owner."""
        return {row["owner"]: orjson.loads(row["limits"]) for row in await self._pool.fetch(_SQL["find_limits"])}

    @asynccontextmanager
    async def change(self, owner: str) -> AsyncIterator["LimitChange"]:
        """Open a transaction that changes the limits of an owner."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_limits"], owner)
            yield LimitChange(connection, owner)


class LimitChange:
    """A transaction that changes the limits of one owner."""

    def __init__(self, connection: PooledConnection, owner: str) -> None:
        self.connection = connection
        self._owner = owner

    async def limits(self) -> Changes:
        """Return the limits that were set; empty: none."""
        text = await self.connection.fetchval(_SQL["get_limits"], self._owner)
        changes: Changes = orjson.loads(text) if text else {}
        return changes

    async def count_owners(self) -> int:
        """Return the number of owners with limits of their own."""
        count: int = await self.connection.fetchval(_SQL["count_limits"])
        return count

    async def set(self, changes: Changes) -> None:
        """Replace the limits that were set; an empty object: none are."""
        if changes:
            await self.connection.execute(_SQL["set_limits"], self._owner, orjson.dumps(changes).decode())
        else:
            await self.connection.execute(_SQL["delete_limits"], self._owner)

    async def next_weight_number(self) -> int:
        """Return the number of a change of weights, which is greater than those before."""
        number: int = await self.connection.fetchval(_SQL["next_weight"])
        return number

    async def add_messages(self, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        """Commit messages with the change."""
        return await insert_messages(self.connection, messages)

"""Statements of ingest on API keys and sessions. Every change counts up one number, in its own transaction."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from services.ingest.domain.api_key import ApiKey
from services.ingest.domain.scope import Scope, sorted_scopes
from shared.postgres.outbox import OutboxMessage, columns
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "identity.sql")
_INSERT_MESSAGES = load_queries("services.ingest.persistence")["insert_messages"]
MAX_SESSIONS_PER_KEY = 50
MAX_LINKS_PER_KEY = 20
MAX_LISTED_KEYS = 1000


class IdentityStore:
    """Repository of API keys and sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def changes(self) -> int:
        """Return the number of changes so far; 0 as long as no key was ever made."""
        number: int = await self._pool.fetchval(_SQL["changes"])
        return number

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """Return the key with this hash."""
        row = await self._pool.fetchrow(_SQL["find_key"], digest)
        return _key(row) if row else None

    async def find_session(self, digest: bytes, idle: timedelta) -> tuple[ApiKey, datetime] | None:
        """Return the key of a session, and the time at which the session ends unless it is used meanwhile."""
        row = await self._pool.fetchrow(_SQL["find_session"], digest, idle)
        if row is None:
            return None
        key = await self._pool.fetchrow(_SQL["get_key"], row["key_id"])
        return (_key(key), min(row["session_expires_at"], row["session_idle_at"])) if key else None

    async def list_keys(self, owner: str | None) -> list[ApiKey]:
        """Return the keys of an owner, or of all, the oldest first."""
        return [_key(row) for row in await self._pool.fetch(_SQL["list_keys"], owner, MAX_LISTED_KEYS)]

    @asynccontextmanager
    async def change(self) -> AsyncIterator["IdentityChange"]:
        """Open a transaction that changes keys or sessions."""
        async with self._pool.acquire() as connection, connection.transaction():
            change = IdentityChange(connection)
            yield change
            if change.is_made:
                await connection.execute(_SQL["count_change"])

    async def record_use(self, keys: Mapping[str, tuple[datetime, str]], sessions: Mapping[bytes, datetime]) -> None:
        """Record the last use of keys, each with the address of the client, and of sessions."""
        if keys:
            ids = sorted(keys)
            times, addresses = [keys[one][0] for one in ids], [keys[one][1] for one in ids]
            await self._pool.execute(_SQL["record_use"], ids, times, addresses)
        if sessions:
            digests = sorted(sessions)
            await self._pool.execute(_SQL["record_session_use"], digests, [sessions[one] for one in digests])

    async def delete_ended(self, keys_stay: timedelta, idle: timedelta) -> None:
        """Delete keys that ended long ago, and sessions and links that have ended."""
        await self._pool.execute(_SQL["delete_ended_links"])
        await self._pool.execute(_SQL["delete_ended_sessions"], idle)
        await self._pool.execute(_SQL["delete_ended_keys"], keys_stay)


class IdentityChange:
    """A transaction that changes keys or sessions."""

    def __init__(self, connection: PooledConnection) -> None:
        self.connection = connection
        self.is_made = False
        """True once a row was changed that other processes may know."""

    async def lock_owner(self, owner: str) -> int:
        """Keep others from creating keys of an owner until the transaction ends; return how many there are."""
        await self.connection.execute(_SQL["lock_owner_keys"], owner)
        count: int = await self.connection.fetchval(_SQL["count_keys"], owner)
        return count

    async def lock_key(self, key_id: str, owner: str | None) -> ApiKey | None:
        """Return a key of an owner, or of any (None), and keep others from changing it."""
        row = await self.connection.fetchrow(_SQL["lock_key"], key_id, owner)
        return _key(row) if row else None

    async def insert_key(
        self,
        key_id: str,
        owner: str,
        name: str,
        digest: bytes,
        hint: str,
        scopes: Sequence[Scope],
        created_by: str | None,
        expires_at: datetime | None,
    ) -> ApiKey | None:
        """Insert a key; None when it is there already."""
        values = [key_id, owner, name, digest, hint, list(scopes), created_by, expires_at]
        row = await self.connection.fetchrow(_SQL["insert_key"], *values)
        self.is_made |= row is not None
        return _key(row) if row else None

    async def replace_key(self, key_id: str, successor: str, ends_at: datetime) -> None:
        """Record that a key ends at a time, and which one replaces it, also as the key of schedules."""
        await self.connection.execute(_SQL["replace_key"], key_id, successor, ends_at)
        await self.connection.execute(_SQL["hand_over_schedules"], key_id, successor)
        self.is_made = True

    async def revoke_key(self, key_id: str) -> ApiKey:
        """End a key now. One that was revoked before keeps its time."""
        self.is_made = True
        return _key(await self.connection.fetchrow(_SQL["revoke_key"], key_id))

    async def expiring_keys(self, ahead: Sequence[timedelta], limit: int) -> list[ApiKey]:
        """Mark keys that end within one of these times as announced for it, and return them."""
        return [_key(row) for row in await self.connection.fetch(_SQL["tell_expiring_keys"], ahead, limit)]

    async def add_messages(self, messages: Sequence[OutboxMessage]) -> None:
        """Commit messages with the change; the outbox sends them soon."""
        await self.connection.execute(_INSERT_MESSAGES, *columns(messages))

    async def insert_session(self, digest: bytes, key_id: str, expires_at: datetime) -> None:
        """Insert a session, and delete the oldest ones of the key beyond `MAX_SESSIONS_PER_KEY`."""
        await self.connection.execute(_SQL["insert_session"], digest, key_id, expires_at)
        status = await self.connection.execute(_SQL["delete_surplus_sessions"], key_id, MAX_SESSIONS_PER_KEY)
        self.is_made |= status != "DELETE 0"

    async def insert_link(self, digest: bytes, key_id: str, expires_at: datetime) -> None:
        """Insert a link that signs in, and delete the oldest ones of the key beyond `MAX_LINKS_PER_KEY`."""
        await self.connection.execute(_SQL["insert_link"], digest, key_id, expires_at)
        await self.connection.execute(_SQL["delete_surplus_links"], key_id, MAX_LINKS_PER_KEY)

    async def take_link(self, digest: bytes) -> tuple[ApiKey, datetime] | None:
        """Delete a link; return its key, and the time at which the link ends."""
        row = await self.connection.fetchrow(_SQL["take_link"], digest)
        if row is None:
            return None
        return _key(await self.connection.fetchrow(_SQL["get_key"], row["key_id"])), row["expires_at"]

    async def delete_session(self, digest: bytes) -> None:
        """Delete a session."""
        await self.connection.execute(_SQL["delete_session"], digest)
        self.is_made = True


def _key(row: Any) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(sorted_scopes(row["scopes"]))})

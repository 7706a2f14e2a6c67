"""Ingest's statements: batch headers, appends and controls, each with the messages that were decided upon."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from batchyard_contracts.v1.values import Priority
from services.ingest.domain.paging import Note
from services.ingest.header import Header
from shared.database import Pool, load_queries

_SQL = load_queries("services.ingest")
LEASE = timedelta(seconds=20)
"""An upload whose receiver did not renew it for so long is withdrawn."""


class Store:
    """The tables of the door. Methods that write messages give the id under which the outbox keeps them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def locked(self, batch_id: UUID, owner: str) -> AsyncIterator["LockedBatch"]:
        """A transaction that holds one batch of an owner; `header` is None when there is none."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_batch"], batch_id, owner)
            yield LockedBatch(connection, _header(row) if row else None)

    async def get(self, batch_id: UUID, owner: str) -> Header | None:
        """An owner's batch, once it is accepted."""
        row = await self._pool.fetchrow(_SQL["get_batch"], batch_id, owner)
        return _header(row) if row else None

    async def same(
        self, owner: str, batch_id: UUID | None = None, key: str | None = None, message_id: str | None = None
    ) -> list[Header]:
        """The batches that bear one of the identities."""
        rows = await self._pool.fetch(_SQL["same_batches"], batch_id, owner, key, message_id)
        return [_header(row) for row in rows]

    async def insert(self, header: Header, notes: Sequence[Note]) -> int | None:
        """Commit a batch with its messages; None when one of its identities is taken."""
        found: int | None = await self._pool.fetchval(
            _SQL["insert_batch"],
            header.batch_id,
            header.owner,
            header.workload,
            header.priority,
            header.name,
            _json(header.labels),
            header.notify.model_dump_json(),
            header.state,
            header.items,
            header.pages,
            header.idempotency_key,
            header.message_id,
            header.digest,
            header.traceparent,
            header.accepted_at,
            *_columns(notes),
        )
        return found

    async def begin_upload(self, header: Header) -> bool:
        """Commit the header of an upload whose pages follow; False when its key is taken."""
        found = await self._pool.fetchval(
            _SQL["begin_upload"],
            header.batch_id,
            header.owner,
            header.workload,
            header.priority,
            header.name,
            _json(header.labels),
            header.notify.model_dump_json(),
            header.idempotency_key,
            header.traceparent,
            header.accepted_at,
            LEASE,
        )
        return found is not None

    async def renew_uploads(self, batch_ids: Sequence[UUID]) -> None:
        """Say that these uploads are still being received."""
        await self._pool.execute(_SQL["renew_uploads"], list(batch_ids), LEASE)

    async def finish_upload(self, header: Header, notes: Sequence[Note]) -> int | None:
        """Commit the end of an upload; None when it has been withdrawn meanwhile."""
        found: int | None = await self._pool.fetchval(
            _SQL["finish_upload"], header.batch_id, header.items, header.pages, header.digest, *_columns(notes)
        )
        return found

    async def withdraw_upload(self, batch_id: UUID, notes: Sequence[Note], *, only_abandoned: bool) -> int | None:
        """Commit that an upload never was; None when it is not being received (any more)."""
        found: int | None = await self._pool.fetchval(
            _SQL["withdraw_upload"], batch_id, *_columns(notes), only_abandoned
        )
        return found

    async def has_control(self, owner: str, command_id: str | None, digest: bytes) -> bool:
        """Whether this very control command was taken before."""
        return command_id is not None and await self._pool.fetchval(_SQL["get_control"], owner, command_id) == digest

    async def abandoned_uploads(self) -> list[UUID]:
        """Uploads that nobody receives any more."""
        return [row["batch_id"] for row in await self._pool.fetch(_SQL["abandoned_uploads"])]

    async def prune(self) -> None:
        """Forget control commands that nobody can repeat any more."""
        await self._pool.execute(_SQL["prune_controls"])


class LockedBatch:
    """A batch that nobody else can change before the transaction ends."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", header: Header | None) -> None:
        self._connection = connection
        self.header = header

    async def append_digest(self, batch_id: UUID, sequence: int) -> bytes | None:
        """The digest of an append that was taken under this sequence number."""
        digest: bytes | None = await self._connection.fetchval(_SQL["get_append"], batch_id, sequence)
        return digest

    async def append(self, header: Header, sequence: int, digest: bytes, notes: Sequence[Note]) -> int:
        """Record an append; the header carries the new numbers."""
        await self._connection.execute(
            _SQL["insert_append"], header.batch_id, sequence, digest, header.items, header.pages
        )
        return await self.note(header, notes)

    async def seal(self, batch_id: UUID) -> None:
        """Record that no more items follow."""
        await self._connection.execute(_SQL["seal_batch"], batch_id)

    async def change_priority(self, batch_id: UUID, priority: Priority) -> None:
        """Record a new priority."""
        await self._connection.execute(_SQL["change_priority"], batch_id, priority)

    async def take_control(self, owner: str, command_id: str, batch_id: UUID, digest: bytes) -> bytes | None:
        """Record a control command; the digest of the one that was taken under this id before, if any."""
        if await self._connection.fetchval(_SQL["insert_control"], owner, command_id, batch_id, digest):
            return None
        before: bytes | None = await self._connection.fetchval(_SQL["get_control"], owner, command_id)
        return before

    async def note(self, header: Header, notes: Sequence[Note]) -> int:
        """Record messages about the batch."""
        row_id: int = await self._connection.fetchval(
            _SQL["insert_notes"], header.batch_id, *_columns(notes), header.traceparent
        )
        return row_id


def _columns(notes: Sequence[Note]) -> tuple[list[str], list[bytes]]:
    return [note.type for note in notes], [note.body for note in notes]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _header(row: asyncpg.Record) -> Header:
    return Header.of(row, orjson.loads(row["labels"]), orjson.loads(row["notify"]))

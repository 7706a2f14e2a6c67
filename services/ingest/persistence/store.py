"""Ingest's statements: batch headers, appends and controls, each with the messages that were decided upon."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from batchyard_contracts.v1.values import Priority
from services.ingest.domain.batch import Header
from services.ingest.domain.pager import Note
from services.ingest.domain.upload_digest import Mark
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence")
LEASE = timedelta(seconds=20)
"""An upload whose receiver did not renew it for so long may be continued by another."""


class Store:
    """The tables of the door. Methods that write messages give the id under which the outbox keeps them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def locked(self, batch_id: UUID, owner: str) -> AsyncIterator["LockedBatch"]:
        """A transaction that holds one batch of an owner; `header` is None when there is none."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_batch"], batch_id, owner)
            yield LockedBatch(connection, Header.of(row) if row else None)

    async def get(self, batch_id: UUID, owner: str) -> Header | None:
        """An owner's batch, once it is accepted."""
        row = await self._pool.fetchrow(_SQL["get_batch"], batch_id, owner)
        return Header.of(row) if row else None

    async def same(
        self, owner: str, batch_id: UUID | None = None, key: str | None = None, message_id: str | None = None
    ) -> list[Header]:
        """The batches that bear one of the identities."""
        rows = await self._pool.fetch(_SQL["same_batches"], batch_id, owner, key, message_id)
        return [Header.of(row) for row in rows]

    async def insert(self, header: Header, notes: Sequence[Note]) -> int | None:
        """Commit a batch with its messages; None when one of its identities is taken."""
        found: int | None = await self._pool.fetchval(_SQL["insert_batch"], *_values(header), *_columns(notes))
        return found

    async def open_upload(self, header: Header, receiver: UUID, notes: Sequence[Note]) -> int | None:
        """Commit an open batch whose upload goes on, with its first messages; None when an identity is taken."""
        found: int | None = await self._pool.fetchval(
            _SQL["open_upload"], *_values(header), *_columns(notes), receiver, LEASE
        )
        return found

    async def resume_upload(self, batch_id: UUID, receiver: UUID) -> Header | None:
        """Become the receiver of an upload that broke off; None when another one is, or it has ended."""
        row = await self._pool.fetchrow(_SQL["resume_upload"], batch_id, receiver, LEASE)
        return Header.of(row) if row else None

    async def renew_uploads(self, receivers: Sequence[UUID]) -> None:
        """Say that these uploads are still being received."""
        await self._pool.execute(_SQL["renew_uploads"], list(receivers), LEASE)

    async def claim(self, batch_id: UUID, receiver: UUID, sent: Mark, given: Mark) -> bool:
        """Record, before they are published, that pages are given out; False when the upload is no longer ours."""
        found = await self._pool.fetchval(_SQL["claim_pages"], batch_id, receiver, *sent, *given)
        return found is not None

    async def hold_upload(
        self, batch_id: UUID, receiver: UUID, sent: Mark, given: Mark, notes: Sequence[Note]
    ) -> int | None:
        """Commit that an upload stops here and may be continued, with what has to be sent; None: not ours any more."""
        found: int | None = await self._pool.fetchval(
            _SQL["hold_upload"], batch_id, receiver, *sent, *given, *_columns(notes)
        )
        return found

    async def seal_upload(self, header: Header, receiver: UUID, notes: Sequence[Note]) -> int | None:
        """Commit the end of an upload with its last messages; None when it is not ours any more."""
        found: int | None = await self._pool.fetchval(
            _SQL["seal_upload"], header.batch_id, receiver, header.items, header.pages, header.digest, *_columns(notes)
        )
        return found

    @asynccontextmanager
    async def idle(self, idle: timedelta) -> AsyncIterator["LockedBatch"]:
        """A transaction that holds an open batch of anybody that has not grown for so long, if there is one."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_idle"], idle)
            yield LockedBatch(connection, Header.of(row) if row else None)

    async def has_control(self, owner: str, command_id: str | None, digest: bytes) -> bool:
        """Whether this very control command was taken before."""
        return command_id is not None and await self._pool.fetchval(_SQL["get_control"], owner, command_id) == digest

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
        await self.took(header, sequence, digest)
        return await self.note(header, notes)

    async def took(self, header: Header, sequence: int, digest: bytes) -> None:
        """The same, where its messages are recorded later."""
        await self._connection.execute(
            _SQL["insert_append"], header.batch_id, sequence, digest, header.items, header.pages
        )

    async def seal(self, batch_id: UUID) -> None:
        """Record that no more items follow."""
        await self._connection.execute(_SQL["seal_batch"], batch_id)

    async def change_priority(self, batch_id: UUID, priority: Priority) -> None:
        """Record a new priority."""
        await self._connection.execute(_SQL["change_priority"], batch_id, priority)

    async def open_round(self, batch_id: UUID, round_: int, again: int) -> None:
        """Record, before the ledger does, that so many items run again: from now on the batch is not finished."""
        await self._connection.execute(_SQL["open_round"], batch_id, round_, again)

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


def _values(header: Header) -> list[object]:
    return [
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
        header.terms.model_dump_json(exclude_none=True),
        header.reuse.model_dump_json(exclude_none=True),
        header.sourced,
    ]


def _columns(notes: Sequence[Note]) -> tuple[list[str], list[bytes]]:
    return [note.type for note in notes], [note.body for note in notes]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

"""Statements of ingest on batch headers, appends and control commands, each with the messages of the decision."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.values import Priority
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError, too_large
from services.ingest.domain.pager import EncodedMessage
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.upload_digest import UploadPosition
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.keyed_lock import KeyedLock
from services.ingest.persistence.message_insert import insert_messages
from shared.postgres.outbox import OutboxMessage, columns, with_ids
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import columns as rows_as_columns
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence")
SESSION = {"lock_timeout": "5s"}
"""PostgreSQL settings of ingest's connections: nobody waits for the row of a batch for ever."""
LEASE = timedelta(seconds=20)
"""Time after which an upload whose receiver did not renew its lease may be continued by another one."""

MAX_WAITING_FOR_BATCH = 16
"""Requests of this process that may wait for one batch, each with its body in memory."""
BATCH_BUSY = Rejection(
    "batch_busy",
    "Too many requests for this batch at a time. Send the next one when the one before is answered.",
    503,
    retry_after_s=1,
)


class BatchStore:
    """Repository of batch headers. Methods that write messages return them as they stand in the outbox."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turns = KeyedLock()

    @asynccontextmanager
    async def lock(self, batch_id: UUID, owner: str | None) -> AsyncIterator["LockedBatch"]:
        """Open a transaction that locks the batch of an owner, or of any (None); `header` is None when there is none.

        Of this process one task at a time waits for the row, so that one batch never takes all connections. Raises
        `IngestError` (503) when too many wait.
        """
        if self._turns.users(batch_id) > MAX_WAITING_FOR_BATCH:
            raise IngestError(BATCH_BUSY)
        async with self._turns.acquire(batch_id), self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_batch"], batch_id, owner)
            yield LockedBatch(connection, BatchHeader.from_row(row) if row else None)

    async def get(self, batch_id: UUID, owner: str) -> BatchHeader | None:
        """Return the header of an owner's batch once it is accepted; otherwise None."""
        row = await self._pool.fetchrow(_SQL["get_batch"], batch_id, owner)
        return BatchHeader.from_row(row) if row else None

    async def find_by_identity(
        self, owner: str, batch_id: UUID | None = None, key: str | None = None, message_id: str | None = None
    ) -> list[BatchHeader]:
        """Return the batches with this id, idempotency key or message id."""
        rows = await self._pool.fetch(_SQL["find_by_identity"], batch_id, owner, key, message_id)
        return [BatchHeader.from_row(row) for row in rows]

    async def insert(
        self, submissions: Sequence[tuple[BatchHeader, Sequence[OutboxMessage]]]
    ) -> list[list[OutboxMessage] | None]:
        """Insert batches, each with its messages, in one statement; None for one of which an identity is taken. No two
        of them have the same id."""
        rows = [_values(header) for header, _ in submissions]
        messages = [message for _, messages in submissions for message in messages]
        batch_ids = [header.batch_id for header, messages in submissions for _ in messages]
        actors = [_actor_values(header) for header, _ in submissions]
        following = [
            (header.batch_id, place, follow_up.model_dump_json())
            for header, _ in submissions
            for place, follow_up in enumerate(header.follow_ups)
        ]
        remote = [
            (header.batch_id, header.items_from.model_dump_json())
            for header, _ in submissions
            if header.items_from is not None
        ]
        arguments = (
            *zip(*rows, strict=True),
            batch_ids,
            *columns(messages),
            *zip(*actors, strict=True),
            *rows_as_columns(following, 3),
            *rows_as_columns(remote, 2),
            [_metadata(header) for header, _ in submissions],
        )
        ((accepted, posted),) = await self._pool.fetch(_SQL["insert_batches"], *arguments)
        inserted, ids = set(accepted), iter(posted)
        return [
            [replace(message, id=next(ids)) for message in messages] if header.batch_id in inserted else None
            for header, messages in submissions
        ]

    async def open_upload(
        self, header: BatchHeader, receiver: UUID, messages: Sequence[EncodedMessage]
    ) -> list[OutboxMessage] | None:
        """Insert an open batch whose upload continues, with its first messages; None when an identity is taken."""
        arguments = [*_values(header), receiver, LEASE]
        forms = [follow_up.model_dump_json() for follow_up in header.follow_ups]
        return await self._write(
            "open_upload", arguments, header, messages, [*_actor_values(header), forms, _metadata(header)]
        )

    async def resume_upload(self, batch_id: UUID, receiver: UUID) -> BatchHeader | None:
        """Take over an interrupted upload; None when it has another receiver, or has ended."""
        row = await self._pool.fetchrow(_SQL["resume_upload"], batch_id, receiver, LEASE)
        return BatchHeader.from_row(row) if row else None

    async def renew_leases(self, receivers: Sequence[UUID]) -> None:
        """Extend the leases of uploads in progress."""
        await self._pool.execute(_SQL["renew_leases"], list(receivers), LEASE)

    async def assign_pages(
        self, batch_id: UUID, receiver: UUID, confirmed: UploadPosition, assigned: UploadPosition, size: int
    ) -> bool:
        """Record pages as assigned before they are published, and the bytes of all payloads so far; False when the
        upload has another receiver."""
        assigned_id = await self._pool.fetchval(_SQL["assign_pages"], batch_id, receiver, *confirmed, *assigned, size)
        return assigned_id is not None

    async def suspend_upload(
        self,
        header: BatchHeader,
        receiver: UUID,
        confirmed: UploadPosition,
        assigned: UploadPosition,
        size: int,
        messages: Sequence[EncodedMessage],
    ) -> list[OutboxMessage] | None:
        """Record that an upload stops here and may be continued, with the bytes of its payloads and the messages to
        send; None when it has another receiver."""
        arguments = [header.batch_id, receiver, *confirmed, *assigned, size]
        return await self._write("suspend_upload", arguments, header, messages)

    async def seal_upload(
        self, header: BatchHeader, receiver: UUID, messages: Sequence[EncodedMessage]
    ) -> list[OutboxMessage] | None:
        """Record the end of an upload with its last messages; None when it has another receiver."""
        arguments = [header.batch_id, receiver, header.items, header.pages, header.digest, header.size]
        return await self._write("seal_upload", arguments, header, messages)

    @asynccontextmanager
    async def lock_idle(self, idle: timedelta) -> AsyncIterator["LockedBatch"]:
        """Open a transaction that locks one open batch that has not grown for `idle`; `header` is None when there is
        none."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_idle_batch"], idle)
            yield LockedBatch(connection, BatchHeader.from_row(row) if row else None)

    async def has_control(self, owner: str, command_id: str | None, digest: bytes) -> bool:
        """Tell whether the same control command was recorded before."""
        return command_id is not None and await self._pool.fetchval(_SQL["get_control"], owner, command_id) == digest

    async def delete_old_controls(self) -> None:
        """Delete control commands that are too old to be repeated."""
        await self._pool.execute(_SQL["delete_old_controls"])

    async def forget_message_ids(self) -> None:
        """Let go of the message ids of batches that are too old for their commands to be repeated."""
        await self._pool.execute(_SQL["forget_message_ids"])

    async def _write(
        self,
        statement: str,
        arguments: Sequence[object],
        header: BatchHeader,
        messages: Sequence[EncodedMessage],
        actor: Sequence[object] = (),
    ) -> list[OutboxMessage] | None:
        """Run a statement that also inserts messages, and an entry of the audit; None when it did nothing."""
        inserted = outbox_messages(messages, header.traceparent)
        ids: list[int] | None = await self._pool.fetchval(_SQL[statement], *arguments, *columns(inserted), *actor)
        return None if ids is None else with_ids(inserted, ids)


class LockedBatch:
    """A batch whose row is locked until the transaction ends."""

    def __init__(self, connection: PooledConnection, header: BatchHeader | None) -> None:
        self.connection = connection
        self.header = header

    async def append_digest(self, batch_id: UUID, sequence: int) -> bytes | None:
        """Return the digest of the append that was recorded under this sequence number."""
        digest: bytes | None = await self.connection.fetchval(_SQL["get_append"], batch_id, sequence)
        return digest

    async def record_append(self, header: BatchHeader, sequence: int, digest: bytes) -> None:
        """Record an append. The header has the new numbers of items, pages and bytes."""
        await self.connection.execute(
            _SQL["insert_append"], header.batch_id, sequence, digest, header.items, header.pages, header.size
        )

    async def seal(self, batch_id: UUID) -> None:
        """Record that the batch takes no more items."""
        await self.connection.execute(_SQL["seal_batch"], batch_id)

    async def change_priority(self, batch_id: UUID, priority: Priority) -> None:
        """Record a new priority."""
        await self.connection.execute(_SQL["change_priority"], batch_id, priority)

    async def start_round(self, batch_id: UUID, round_: int, retried: int) -> None:
        """Record that `retried` items run again. From now on the batch is unfinished, even before the aggregator
        knows."""
        await self.connection.execute(_SQL["start_round"], batch_id, round_, retried)

    async def next_control_time(self, batch_id: UUID) -> datetime:
        """Return the time of the next control command, by which all services order it."""
        at: datetime = await self.connection.fetchval(_SQL["next_control_time"], batch_id)
        return at

    async def record_control(self, owner: str, command_id: str, batch_id: UUID, digest: bytes) -> bytes | None:
        """Record a control command; returns the digest of the one recorded under the same id before, if any."""
        if await self.connection.fetchval(_SQL["insert_control"], owner, command_id, batch_id, digest):
            return None
        earlier: bytes | None = await self.connection.fetchval(_SQL["get_control"], owner, command_id)
        return earlier

    async def record_audit(self, action: str, header: BatchHeader, *, before: Any = None, after: Any = None) -> None:
        """Record in the audit what changes the batch."""
        await record_in(self.connection, action, header.owner, str(header.batch_id), before=before, after=after)

    async def add_messages(self, header: BatchHeader, messages: Sequence[EncodedMessage]) -> list[OutboxMessage]:
        """Add messages about the batch to the outbox; returns them as they stand there."""
        return await insert_messages(self.connection, outbox_messages(messages, header.traceparent))


def outbox_messages(messages: Sequence[EncodedMessage], traceparent: str | None) -> list[OutboxMessage]:
    """Return messages addressed to the other services; raises `IngestError` (413) when one is too large for them."""
    largest = max((len(message.body) for message in messages), default=0)
    if largest > MAX_MESSAGE_BYTES:
        raise IngestError(too_large(largest))
    return [
        OutboxMessage(FLOW, message.prefix + message.type, message.type, message.body, traceparent)
        for message in messages
    ]


def _values(header: BatchHeader) -> list[object]:
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
        header.size,
        header.pages,
        header.idempotency_key,
        header.message_id,
        header.digest,
        header.traceparent,
        header.accepted_at,
        header.terms.model_dump_json(exclude_none=True),
        header.reuse.model_dump_json(exclude_none=True),
        header.source_mode,
    ]


def _actor_values(header: BatchHeader) -> list[object]:
    actor = header.actor
    return [actor.owner, actor.key_id, actor.door, actor.address]


def _metadata(header: BatchHeader) -> str | None:
    return _json(header.metadata) if header.metadata else None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

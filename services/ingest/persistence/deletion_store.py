"""Statements of ingest on the deletion of batches, and on the rules of the retention."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args
from uuid import UUID

import orjson

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import DeletionRequested
from batchyard_contracts.v1.values import DataKind, Deleter
from services.ingest.domain.retention import Retention, RetentionRules
from services.ingest.persistence.message_insert import insert_messages
from shared.postgres.outbox import OutboxMessage
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "deletions.sql")
_SERVICES = ["ingest", *get_args(Deleter)]


class Place(NamedTuple):
    """Place in the order of the ends of batches."""

    ended_at: datetime
    batch_id: UUID


FIRST = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


class EndedBatch(NamedTuple):
    """A batch that has ended, and how many days ago that was recorded."""

    place: Place
    owner: str
    workload: str
    days: float


class DeletionStore:
    """Repository of deletions. Methods that write messages return them as they stand in the outbox."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ended_batches(self, kind: DataKind, days: float, after: Place, limit: int) -> list[EndedBatch]:
        """Return batches that ended more than some days ago and keep a kind, in the order of their ends."""
        rows = await self._pool.fetch(_SQL[f"with_{kind}"], days, *after, limit)
        return [
            EndedBatch(Place(row["heard_at"], row["batch_id"]), row["owner"], row["workload"], row["days"])
            for row in rows
        ]

    async def expire(self, kind: DataKind, batch_ids: Collection[UUID]) -> list[OutboxMessage]:
        """Have a kind of what is kept of some batches deleted, those that have ended and that nobody changes."""
        async with self._pool.acquire() as connection, connection.transaction():
            if kind == "batch":
                return await delete_batches(connection, batch_ids, "retention")
            rows = await connection.fetch(_SQL[f"expire_{kind}"], list(batch_ids))
            return await insert_messages(connection, _requests(rows, kind))

    async def deletion(self, batch_id: UUID, owner: str) -> dict[str, Any] | None:
        """Return the deletion of an owner's batch; None: there is none."""
        row = await self._pool.fetchrow(_SQL["get_deletion"], batch_id, owner)
        return None if row is None else {**row, "deleted": orjson.loads(row["deleted"])}

    async def complete(self, batch_id: UUID, service: Deleter, deleted: Mapping[str, int]) -> None:
        """Record the numbers of rows that a service has deleted of a batch, by table."""
        await self._pool.execute(
            _SQL["complete_deletion"], batch_id, service, orjson.dumps(deleted).decode(), _SERVICES
        )

    async def request_again(self, after_s: float, limit: int) -> list[OutboxMessage]:
        """Request deletions again that some service has not reported for a while."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["claim_unanswered"], after_s, limit)
            return await insert_messages(connection, _requests(rows, "batch"))

    async def forget(self, days: float, limit: int) -> int:
        """Forget some deletions that are complete for so long; return their number."""
        tag = await self._pool.execute(_SQL["forget_deletions"], days, limit)
        return int(tag.rpartition(" ")[2])

    async def rules(self, defaults: Retention) -> RetentionRules:
        """Return the rules of the retention."""
        rows = await self._pool.fetch(_SQL["retention_rules"])
        return RetentionRules(defaults, {(row["owner"], row["workload"]): orjson.loads(row["days"]) for row in rows})

    @asynccontextmanager
    async def change_rule(self, owner: str, workload: str) -> AsyncIterator["RuleChange"]:
        """Open a transaction that changes the rule of an owner and a workload."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_retention"])
            yield RuleChange(connection, owner, workload)


class RuleChange:
    """A transaction that changes one rule of the retention."""

    def __init__(self, connection: PooledConnection, owner: str, workload: str) -> None:
        self.connection, self._names = connection, (owner, workload)

    async def days(self) -> dict[str, float]:
        """Return the days that the rule sets, by kind."""
        text = await self.connection.fetchval(_SQL["get_retention"], *self._names)
        found: dict[str, float] = orjson.loads(text) if text else {}
        return found

    async def count(self) -> int:
        """Return the number of rules."""
        count: int = await self.connection.fetchval(_SQL["count_retention"])
        return count

    async def set(self, days: Mapping[str, float]) -> None:
        """Replace the days that the rule sets; without any, the rule goes."""
        if days:
            await self.connection.execute(_SQL["set_retention"], *self._names, orjson.dumps(days).decode())
        else:
            await self.connection.execute(_SQL["clear_retention"], *self._names)


async def delete_batches(
    connection: PooledConnection, batch_ids: Collection[UUID], cause: str, known_ends: Collection[UUID] = ()
) -> list[OutboxMessage]:
    """Delete batches that have ended, in the transaction of a connection, with the requests to the other services.

    `known_ends`: those that have ended though it is not recorded. A batch that another one follows soon is left out.
    """
    rows = await connection.fetch(_SQL["delete_batches"], list(batch_ids), cause, list(known_ends))
    return await insert_messages(connection, _requests(rows, "batch"))


def _requests(rows: Sequence[Any], kind: DataKind) -> list[OutboxMessage]:
    at = datetime.now(UTC)
    return [
        OutboxMessage.of(
            FLOW,
            DeletionRequested(batch_id=row["batch_id"], owner=row["owner"], round=row["round"], kind=kind, at=at),
        )
        for row in rows
    ]

"""The audit: who changed what, when, from where and by which key. Entries are written in the transaction of the change.

The client of the running request is kept in a context variable, so that every change of the request names it.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from services.ingest.domain.actor import INGEST, Actor
from shared.observability.telemetry import traceparent
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "audit.sql")
MAX_VALUE_BYTES = 4096
"""Largest JSON of the state before or after a change; a larger one is left out, and the entry says so."""
ALL_OWNERS = "*"
"""Owner of an entry on what concerns all owners, such as a rate. No owner can have that name."""
NEWEST = 2**63 - 1
_DELETED_AT_ONCE = 5000
_actor: ContextVar[Actor] = ContextVar("actor", default=INGEST)


@dataclass(frozen=True, slots=True)
class AuditSelection:
    """Entries that are asked for; None: any."""

    owner: str | None = None
    actor: str | None = None
    key_id: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def act_as(actor: Actor) -> None:
    """Make a client the actor of all that follows in this request or message."""
    _actor.set(actor)


def current_actor() -> Actor:
    """Return the client of this request or message."""
    return _actor.get()


class AuditLog:
    """Repository of the audit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, action: str, owner: str, object_: str, after: Any = None, before: Any = None) -> None:
        """Record a command whose change is made elsewhere, before it is made."""
        async with self._pool.acquire() as connection:
            await record_in(connection, action, owner, object_, before=before, after=after)

    async def page(self, selection: AuditSelection, before: int, limit: int) -> list[dict[str, Any]]:
        """Return entries with an id below `before`, the newest first."""
        chosen = (selection.owner, selection.actor, selection.key_id, selection.action, selection.object)
        rows = await self._pool.fetch(_SQL["find_audit"], before, *chosen, selection.since, selection.until, limit)
        return [{**row, "before": _loaded(row["before"]), "after": _loaded(row["after"])} for row in rows]

    async def batch_commands(
        self, batch_id: UUID, before: datetime, *, action: str | None = None, limit: int
    ) -> list[dict[str, Any]]:
        """Return the commands that changed a batch, or those of one action, before a time, the newest first. Appended
        items are not among them."""
        rows = await self._pool.fetch(_SQL["batch_commands"], str(batch_id), before, action, limit)
        return [{**row, "before": _loaded(row["before"]), "after": _loaded(row["after"])} for row in rows]

    async def submission_of(self, batch_id: UUID, accepted_at: datetime) -> dict[str, Any]:
        """Return who submitted a batch, and by which way it came; empty if the entry is not there any more."""
        row = await self._pool.fetchrow(_SQL["submission_of"], str(batch_id), accepted_at)
        return dict(row) if row else {}

    async def delete_old(self, age: timedelta, newest: int) -> None:
        """Delete a part of the entries that are too old or too many."""
        await self._pool.execute(_SQL["delete_old_audit"], age, newest, _DELETED_AT_ONCE)


async def record_in(
    connection: PooledConnection, action: str, owner: str, object_: str, *, before: Any = None, after: Any = None
) -> None:
    """Record a change in its own transaction."""
    actor = current_actor()
    await connection.execute(
        _SQL["insert_audit"],
        owner,
        actor.owner,
        actor.key_id,
        actor.door,
        actor.address,
        traceparent(),
        action,
        object_,
        audit_json(before),
        audit_json(after),
    )


def audit_json(value: Any) -> str | None:
    """Return a state as JSON, if it is not too large."""
    if value is None:
        return None
    text = orjson.dumps(value, default=str)
    return text.decode() if len(text) <= MAX_VALUE_BYTES else '{"left_out": "too large"}'


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)

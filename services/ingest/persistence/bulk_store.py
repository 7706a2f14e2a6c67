"""Statements of ingest on actions on many batches, which replicas share: each page of one is done by one process."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from services.ingest.domain.actor import Actor
from services.ingest.domain.bulk_action import BulkAction, BulkForm
from services.ingest.domain.stored_form import read_stored
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.ingest.persistence", "bulk.sql")
_LEASE = timedelta(seconds=60)
"""Time after which a page whose process has died is done by another one."""


class BulkStore:
    """Repository of actions on many batches."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def insert(
        self, action_id: UUID, owner: str, actor: Actor, form: BulkForm, key: str | None, most: int
    ) -> BulkAction | None:
        """Insert an action; None if its key is taken, or if the owner has so many that have not ended."""
        who = (actor.owner, actor.key_id, actor.door, actor.address)
        row = await self._pool.fetchrow(
            _SQL["insert_action"], action_id, owner, *who, key, form.model_dump_json(exclude_defaults=True), most
        )
        return _action(row) if row else None

    async def get(self, owner: str, action_id: UUID) -> BulkAction | None:
        """Return an action of an owner."""
        row = await self._pool.fetchrow(_SQL["get_action"], action_id, owner)
        return _action(row) if row else None

    async def get_by_key(self, owner: str, key: str) -> BulkAction | None:
        """Return the action of an owner that came with an idempotency key."""
        row = await self._pool.fetchrow(_SQL["get_action_by_key"], owner, key)
        return _action(row) if row else None

    async def page(self, owner: str, before: datetime, limit: int) -> list[BulkAction]:
        """Return actions of an owner that were begun before a time, the newest first."""
        return [_action(row) for row in await self._pool.fetch(_SQL["actions_of_owner"], owner, before, limit)]

    async def claim(self) -> BulkAction | None:
        """Claim the action that has waited longest, for one page; None if there is none."""
        row = await self._pool.fetchrow(_SQL["claim_action"], _LEASE)
        return _action(row) if row else None

    async def save(
        self,
        action: BulkAction,
        last_batch: UUID | None,
        done: int,
        refused: int,
        *,
        error: str | None = None,
        is_waiting: bool = False,
        has_ended: bool = False,
    ) -> None:
        """Save a page of an action as it was claimed, unless another process has done that page meanwhile.

        `is_waiting`: the rest is to be tried again after a pause.
        """
        numbers = (last_batch, done, refused)
        await self._pool.execute(
            _SQL["save_action"], action.action_id, *numbers, error, is_waiting, has_ended, action.last_batch
        )

    async def delete_old(self) -> None:
        """Delete actions that ended long ago."""
        await self._pool.execute(_SQL["delete_old_actions"])


def _action(row: asyncpg.Record) -> BulkAction:
    fields: dict[str, Any] = dict(row)
    actor = Actor(fields.pop("actor"), fields.pop("door"), fields.pop("key_id"), fields.pop("address"))
    form, unread = read_stored(BulkForm, fields.pop("form"))
    return BulkAction(actor=actor, form=form, unread=unread, **fields)

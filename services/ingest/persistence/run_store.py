"""Statements of ingest by which replicas share the runs of schedules. Rows decide: each is claimed by one process."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import Event
from batchyard_contracts.v1.schedules import Overlap
from services.ingest.domain.overlap import MAX_QUEUED, Origin
from services.ingest.domain.schedule import Schedule
from services.ingest.domain.time_zone import ZONE_DATA
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.message_insert import insert_messages
from services.ingest.persistence.schedule_store import NewRun, RunRecord, schedule_of
from shared.postgres.outbox import OutboxMessage
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.ingest.persistence", "schedules.sql")
LEASE = timedelta(seconds=30)
"""Time after which a run whose process has not started it is taken over by another one."""


class DueSchedule(NamedTuple):
    """A schedule that is due, at the time of the database."""

    schedule_id: UUID
    owner: str
    name: str
    next_at: datetime
    now: datetime
    key_works: bool
    schedule: Schedule


class RunKey(NamedTuple):
    """Identity of a run."""

    schedule_id: UUID
    nominal_at: datetime
    origin: Origin


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run whose time has come, at the time of the database.

    `template_version` belongs to `template`; both are None before they are recorded. `is_accepted`: the batch exists,
    and nobody recorded it.
    """

    key: RunKey
    state: str
    overlap: Overlap
    batch_id: UUID | None
    template: str | None
    template_version: int | None
    created_at: datetime
    now: datetime
    key_works: bool
    is_accepted: bool


@dataclass(slots=True)
class ClaimedSchedules:
    """Schedules that are locked until the transaction ends, and what is saved of them at its end."""

    connection: PooledConnection
    due: Sequence[DueSchedule]
    runs: list[NewRun] = field(default_factory=list)
    next_at: dict[UUID, datetime | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    posted: list[OutboxMessage] = field(default_factory=list)
    """Events as they stand in the outbox, once the transaction has ended."""

    async def pause(self, due: DueSchedule, note: str) -> None:
        """Pause a schedule that must not run, with a note."""
        await self.connection.execute(_SQL["set_paused"], due.schedule_id, True, note, None, ZONE_DATA)
        await record_in(self.connection, "schedule.pause", due.owner, due.name, after={"note": note})


@dataclass(slots=True)
class ClaimedRuns:
    """Runs that are locked with their schedules until the transaction ends."""

    connection: PooledConnection
    runs: Sequence[ClaimedRun]
    active: Mapping[UUID, Sequence[RunRecord]]
    """Runs that wait or have not ended, by schedule."""

    async def begin(self, runs: Sequence[tuple[RunKey, UUID]]) -> None:
        """Record the batch ids under which runs are submitted. They are this process's for the time of the lease."""
        rows = [(*key, batch_id) for key, batch_id in runs]
        await self.connection.execute(_SQL["begin_runs"], *columns(rows, 4), LEASE)

    async def postpone(self, key: RunKey, pause: timedelta) -> None:
        """Look at a run again later."""
        await self.connection.execute(_SQL["postpone_run"], *key, pause)

    async def end(self, key: RunKey, state: str, reason: str) -> None:
        """Record that a run does not start."""
        await self.connection.execute(_SQL["end_run"], *key, state, reason)


class RunStore:
    """Repository of the runs that are due."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def claim_schedules(self, limit: int) -> AsyncIterator[ClaimedSchedules]:
        """Open a transaction that locks schedules that are due; at its end runs, times and events are saved."""
        async with self._claim("claim_due", limit) as claimed:
            yield claimed

    @asynccontextmanager
    async def claim_outdated(self, limit: int) -> AsyncIterator[ClaimedSchedules]:
        """Open a transaction that locks schedules whose next time was computed by earlier data of time zones."""
        async with self._claim("claim_outdated", limit, ZONE_DATA) as claimed:
            yield claimed

    @asynccontextmanager
    async def _claim(self, statement: str, *arguments: object) -> AsyncIterator[ClaimedSchedules]:
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL[statement], *arguments)
            claimed = ClaimedSchedules(connection, [_due(row) for row in rows])
            yield claimed
            if claimed.runs:
                await connection.execute(_SQL["insert_runs"], *columns(claimed.runs, len(NewRun._fields)))
            if claimed.next_at:
                await connection.execute(
                    _SQL["set_next"], list(claimed.next_at), list(claimed.next_at.values()), ZONE_DATA
                )
            claimed.posted = await _post(connection, claimed.events)

    @asynccontextmanager
    async def claim_runs(self, limit: int) -> AsyncIterator[ClaimedRuns]:
        """Open a transaction that locks runs whose time has come."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["claim_runs"], limit, MAX_QUEUED)
            ids = list({row["schedule_id"] for row in rows})
            active: dict[UUID, list[RunRecord]] = {schedule_id: [] for schedule_id in ids}
            if ids:
                await connection.execute(_SQL["mark_ended"], ids)
                for row in await connection.fetch(_SQL["active_runs"], ids):
                    active[row["schedule_id"]].append(RunRecord(**row))
            yield ClaimedRuns(connection, [_claimed(row) for row in rows], active)

    async def schedule(self, schedule_id: UUID) -> Schedule | None:
        """Return a schedule; None if it was deleted meanwhile."""
        row = await self._pool.fetchrow(_SQL["schedule_by_id"], schedule_id)
        return schedule_of(row) if row else None

    async def previous_success(self, key: RunKey) -> datetime | None:
        """Return the nominal time of the latest earlier run whose batch has completed."""
        at: datetime | None = await self._pool.fetchval(_SQL["previous_success"], key.schedule_id, key.nominal_at)
        return at

    async def record_version(self, key: RunKey, template: str, version: int) -> None:
        """Record the version of the template that a run submits, which stays when the run is tried again."""
        await self._pool.execute(_SQL["record_version"], *key, template, version)

    async def record_started(self, key: RunKey, event: Event) -> list[OutboxMessage]:
        """Record that the batch of a run is accepted, with its event; returns the event once."""
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_SQL["mark_started"], *key) is None:
                return []
            return await _post(connection, [event])

    async def postpone(self, key: RunKey, pause: timedelta) -> None:
        """Try a run again later."""
        await self._pool.execute(_SQL["postpone_run"], *key, pause)

    async def end(self, key: RunKey, state: str, reason: str) -> None:
        """Record that a run does not start."""
        await self._pool.execute(_SQL["end_run"], *key, state, reason)


async def _post(connection: PooledConnection, events: Sequence[Event]) -> list[OutboxMessage]:
    return await insert_messages(connection, [OutboxMessage.of(EVENTS, event) for event in events])


def _due(row: asyncpg.Record) -> DueSchedule:
    return DueSchedule(
        row["schedule_id"], row["owner"], row["name"], row["next_at"], row["now"], row["key_works"], schedule_of(row)
    )


def _claimed(row: asyncpg.Record) -> ClaimedRun:
    key = RunKey(row["schedule_id"], row["nominal_at"], row["origin"])
    known = (field.name for field in fields(ClaimedRun) if field.name != "key")
    return ClaimedRun(key, *(row[name] for name in known))

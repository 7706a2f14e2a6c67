"""Statements of ingest on schedules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from batchyard_contracts.v1.schedules import Overlap, ScheduleForm
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.overlap import MAX_UNSTARTED, Origin
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.schedule import KEY_ENDED, UNREADABLE, Schedule
from services.ingest.domain.stored_form import read_stored
from services.ingest.domain.time_zone import ZONE_DATA
from services.ingest.persistence.audit_log import record_in
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import columns, load_queries

_SQL = load_queries("services.ingest.persistence", "schedules.sql")
NOT_FOUND = Rejection("schedule_not_found", "There is no such schedule. Check its name, and that it is yours.", 404)

_KEY_ENDED = Rejection("schedule_key_ended", KEY_ENDED, 409)
UNREAD = Rejection("schedule_unreadable", UNREADABLE, 409)
TOO_MANY_RUNS = Rejection(
    "too_many_runs",
    f"More than {MAX_UNSTARTED} runs of the schedule would wait. Let those start first, or backfill in parts.",
)


class NewRun(NamedTuple):
    """A row of the table of runs, to be inserted."""

    schedule_id: UUID
    nominal_at: datetime
    origin: Origin
    state: str
    overlap: Overlap
    due_at: datetime
    reason: str | None = None
    last_at: datetime | None = None
    times: int = 1


class RunRecord(NamedTuple):
    """A row of the table of runs."""

    schedule_id: UUID
    nominal_at: datetime
    origin: Origin
    state: str
    overlap: Overlap
    due_at: datetime
    batch_id: UUID | None
    template: str | None
    template_version: int | None
    reason: str | None
    last_at: datetime | None
    times: int
    started_at: datetime | None


class ScheduledBatch(NamedTuple):
    """The run of a schedule that a batch comes from."""

    schedule: str
    nominal_at: datetime
    origin: Origin
    template: str | None
    template_version: int | None


class ScheduleStore:
    """Repository of schedules."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, owner: str, name: str) -> Schedule:
        """Return a schedule; raises `IngestError` (404)."""
        row = await self._pool.fetchrow(_SQL["get_schedule"], owner, name)
        if row is None:
            raise IngestError(NOT_FOUND)
        return schedule_of(row)

    async def page(self, owner: str, after: str, limit: int, prefix: str = "") -> list[Schedule]:
        """Return schedules of an owner whose names begin with `prefix`, by name."""
        rows = await self._pool.fetch(_SQL["list_schedules"], owner, after, limit, prefix)
        return [schedule_of(row) for row in rows]

    async def now(self) -> datetime:
        """Return the time of the database, by which all schedules go."""
        at: datetime = await self._pool.fetchval(_SQL["database_time"])
        return at

    async def save(self, schedule: Schedule, limit: int) -> Schedule:
        """Insert a schedule, or replace the one of this name; raises `IngestError` (409) beyond the limit."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_schedules"], schedule.owner)
            key_id = await _last_successor(connection, schedule.key_id)
            row = await connection.fetchrow(_SQL["lock_schedule"], schedule.owner, schedule.name)
            if row is None and await connection.fetchval(_SQL["count_schedules"], schedule.owner) >= limit:
                detail = f"An owner has at most {limit} schedules. Delete one that is not needed."
                raise IngestError(Rejection("too_many_schedules", detail, 409))
            (saved,) = await connection.fetch(
                _SQL["save_schedule"],
                schedule.schedule_id,
                schedule.owner,
                schedule.name,
                schedule.workload,
                schedule.form.model_dump_json(),
                key_id,
                schedule.next_at,
                ZONE_DATA,
            )
            await record_in(
                connection,
                "schedule.save",
                schedule.owner,
                schedule.name,
                before=_audited(schedule_of(row)) if row else None,
                after=_audited(schedule),
            )
        return schedule_of(saved)

    @asynccontextmanager
    async def lock(self, owner: str, name: str) -> AsyncIterator["LockedSchedule"]:
        """Open a transaction that locks a schedule; raises `IngestError` (404)."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_schedule"], owner, name)
            if row is None:
                raise IngestError(NOT_FOUND)
            yield LockedSchedule(connection, schedule_of(row), key_works=row["key_works"])

    async def runs(self, schedule_id: UUID, before: datetime, limit: int) -> list[RunRecord]:
        """Return runs of a schedule with a nominal time before another, the latest first."""
        return [RunRecord(**row) for row in await self._pool.fetch(_SQL["list_runs"], schedule_id, before, limit)]

    async def run_of_batch(self, owner: str, batch_id: UUID) -> ScheduledBatch | None:
        """Return the run that a batch comes from; None if no schedule started it."""
        row = await self._pool.fetchrow(_SQL["run_of_batch"], batch_id, owner)
        return ScheduledBatch(**row) if row else None

    async def missed_runs(self, owner: str | None, since: datetime, limit: int) -> list[dict[str, Any]]:
        """Return runs of an owner, or of all (None), that were missed or did not start since a time, the newest
        first."""
        rows = await self._pool.fetch(_SQL["missed_runs"], owner, since, limit)
        return [dict(row) for row in rows]

    async def delete_old_runs(self, age: timedelta) -> None:
        """Delete a part of the runs that are too old."""
        await self._pool.execute(_SQL["delete_old_runs"], age)


class LockedSchedule:
    """A schedule whose row is locked until the transaction ends."""

    def __init__(self, connection: PooledConnection, schedule: Schedule, *, key_works: bool) -> None:
        self._connection = connection
        self.schedule = schedule
        self._key_works = key_works

    def check_startable(self) -> None:
        """Raise `IngestError` (409) when nothing would start: the API key of the schedule has ended, or this version
        cannot read the schedule."""
        if not self._key_works:
            raise IngestError(_KEY_ENDED)
        if self.schedule.unread:
            raise IngestError(UNREAD)

    async def set_paused(self, *, paused: bool, note: str, next_at: datetime | None) -> Schedule:
        """Pause or resume it."""
        (row,) = await self._connection.fetch(
            _SQL["set_paused"], self.schedule.schedule_id, paused, note, next_at, ZONE_DATA
        )
        await self._record(f"schedule.{'pause' if paused else 'resume'}", {"note": note} if note else None)
        return schedule_of(row)

    async def add_runs(self, runs: list[NewRun], action: str) -> None:
        """Add runs that a client asks for; those that exist already stay as they are. Raises `IngestError` when more
        would wait than may."""
        await self._connection.execute(_SQL["insert_runs"], *columns(runs, len(NewRun._fields)))
        if await self._connection.fetchval(_SQL["count_unstarted"], self.schedule.schedule_id) > MAX_UNSTARTED:
            raise IngestError(TOO_MANY_RUNS)
        after = {"from": runs[0].nominal_at, "to": runs[-1].nominal_at, "runs": len(runs)} if runs else None
        await self._record(f"schedule.{action}", after)

    async def delete(self) -> None:
        """Delete it with its history. Batches that it has started stay."""
        await self._connection.execute(_SQL["delete_schedule"], self.schedule.schedule_id)
        await record_in(
            self._connection,
            "schedule.delete",
            self.schedule.owner,
            self.schedule.name,
            before=_audited(self.schedule),
        )

    async def now(self) -> datetime:
        """Return the time of the database."""
        at: datetime = await self._connection.fetchval(_SQL["database_time"])
        return at

    async def _record(self, action: str, after: object) -> None:
        await record_in(self._connection, action, self.schedule.owner, self.schedule.name, after=after)


async def _last_successor(connection: PooledConnection, key_id: str | None) -> str | None:
    """Return the last one that works of a key and those that it was rotated to, and keep others from rotating them."""
    found = key_id
    while key_id and (row := await connection.fetchrow(_SQL["lock_key"], key_id)):
        found = key_id if row["works"] else found
        key_id = row["replaced_by"]
    return found


def schedule_of(row: asyncpg.Record) -> Schedule:
    """Return the schedule in a row, as far as this version can read it."""
    form, unread = read_stored(ScheduleForm, row["form"])
    return Schedule(
        row["schedule_id"],
        row["owner"],
        row["name"],
        row["workload"],
        form,
        row["created_at"],
        row["key_id"],
        row["paused"],
        row["note"],
        row["next_at"],
        unread,
    )


def _audited(schedule: Schedule) -> dict[str, object]:
    return schedule.form.model_dump(mode="json", exclude_defaults=True, exclude={"batch", "parameters"})

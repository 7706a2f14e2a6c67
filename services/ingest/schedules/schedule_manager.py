"""Saves, controls and shows schedules."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from uuid import UUID

from batchyard_contracts.v1.schedules import Overlap, ScheduleForm
from batchyard_contracts.v1.templates import TemplateRun
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.schedule import (
    MAX_CAUGHT_UP,
    Schedule,
    ScheduledTime,
    check_schedule,
    next_time,
    preview,
    times_between,
)
from services.ingest.domain.template import check_body, command_of
from services.ingest.persistence.audit_log import current_actor
from services.ingest.persistence.schedule_store import NewRun, RunRecord, ScheduledBatch, ScheduleStore
from services.ingest.templates.template_manager import TemplateManager

_ENDED = Rejection("schedule_ended", "The schedule has no further time. Change `ends_at` or `cron`.")
_TOO_MANY_TIMES = Rejection(
    "too_many_runs", f"The span has more than {MAX_CAUGHT_UP} times of the schedule. Backfill it in parts."
)
_NO_TIME = Rejection("too_few_runs", "The schedule has no time in this span. Give another `first_at` and `last_at`.")


class ScheduleManager:
    """The schedules of owners. All methods raise `IngestError`."""

    def __init__(
        self, store: ScheduleStore, templates: TemplateManager, new_id: Callable[[], UUID], *, per_owner: int
    ) -> None:
        self._store = store
        self._templates = templates
        self._new_id = new_id
        self._per_owner = per_owner

    async def save(self, owner: str, name: str, form: ScheduleForm) -> Schedule:
        """Create a schedule, or replace it; its next time is after now, whatever it was before."""
        if rejection := check_schedule(form):
            raise IngestError(rejection)
        workload = await self._check_content(owner, form)
        now = await self._store.now()
        next_at = next_time(form, now)
        if next_at is None:
            raise IngestError(_ENDED)
        key_id = current_actor().key_id
        schedule = Schedule(self._new_id(), owner, name, workload, form, now, key_id, next_at=next_at)
        return await self._store.save(schedule, self._per_owner)

    async def get(self, owner: str, name: str) -> Schedule:
        """Return a schedule."""
        return await self._store.get(owner, name)

    async def now(self) -> datetime:
        """Return the time by which all schedules go, that of the database."""
        return await self._store.now()

    async def page(self, owner: str, after: str, limit: int, prefix: str = "") -> list[Schedule]:
        """Return the schedules of an owner whose names begin with `prefix`, by name."""
        return await self._store.page(owner, after, limit, prefix)

    async def pause(self, owner: str, name: str, note: str) -> Schedule:
        """Start nothing until it is resumed; runs that a client asks for start all the same."""
        async with self._store.lock(owner, name) as locked:
            return await locked.set_paused(paused=True, note=note, next_at=None)

    async def resume(self, owner: str, name: str) -> Schedule:
        """Continue with the next time after now. Times during the pause are not missed."""
        async with self._store.lock(owner, name) as locked:
            locked.check_startable()
            if not locked.schedule.paused:
                return locked.schedule
            next_at = next_time(locked.schedule.form, await locked.now())
            return await locked.set_paused(paused=False, note="", next_at=next_at)

    async def delete(self, owner: str, name: str) -> None:
        """Delete a schedule with its history; its batches stay."""
        async with self._store.lock(owner, name) as locked:
            await locked.delete()

    async def run_now(self, owner: str, name: str) -> datetime:
        """Add a run for this moment; returns its nominal time."""
        async with self._store.lock(owner, name) as locked:
            locked.check_startable()
            schedule, now = locked.schedule, await locked.now()
            run = NewRun(schedule.schedule_id, now, "manual", "waiting", schedule.form.overlap, now)
            await locked.add_runs([run], "run")
        return now

    async def backfill(self, owner: str, name: str, first: datetime, last: datetime, overlap: Overlap) -> int:
        """Add a run for each time of a span that has none from a backfill; returns the number of times."""
        async with self._store.lock(owner, name) as locked:
            locked.check_startable()
            schedule, now = locked.schedule, await locked.now()
            last = min(last, now)
            times = list(islice(times_between(schedule.form, first, last), MAX_CAUGHT_UP + 1))
            if not times:
                raise IngestError(_NO_TIME)
            if len(times) > MAX_CAUGHT_UP:
                raise IngestError(_TOO_MANY_TIMES)
            runs = [NewRun(schedule.schedule_id, at, "backfill", "waiting", overlap, now) for at in times]
            await locked.add_runs(runs, "backfill")
        return len(runs)

    async def next_times(self, owner: str, name: str, count: int) -> list[ScheduledTime]:
        """Return the next times of a schedule; none while it is paused, or if this version cannot read it."""
        schedule = await self._store.get(owner, name)
        return [] if schedule.paused or schedule.unread else preview(schedule.form, await self._store.now(), count)

    async def preview(self, form: ScheduleForm, count: int) -> list[ScheduledTime]:
        """Return the next times of a schedule that is not saved."""
        if rejection := check_schedule(form):
            raise IngestError(rejection)
        return preview(form, await self._store.now(), count)

    async def runs(self, owner: str, name: str, before: datetime, limit: int) -> list[RunRecord]:
        """Return the runs of a schedule, the latest first."""
        schedule = await self._store.get(owner, name)
        return await self._store.runs(schedule.schedule_id, before, limit)

    async def run_of_batch(self, owner: str, batch_id: UUID) -> ScheduledBatch | None:
        """Return the run that a batch comes from; None if no schedule started it."""
        return await self._store.run_of_batch(owner, batch_id)

    async def _check_content(self, owner: str, form: ScheduleForm) -> str:
        """Return the workload of what a schedule submits."""
        if form.template is None:
            body = form.batch or {}
            if rejection := check_body(body):
                raise IngestError(rejection)
            return str(body["workload"])
        template = await self._templates.get(owner, form.template, form.template_version)
        run = TemplateRun(parameters=form.parameters)
        now = (await self._store.now()).isoformat()
        times = {"@nominal_at": now, "@started_at": now, "@previous_success_at": now}
        command = command_of(template.form, run, {"@owner": owner, **times})
        if isinstance(command, Rejection):
            raise IngestError(command)
        return template.workload

"""Turns the times for which schedules are due into runs, and tells of times that were missed."""

from typing import ClassVar

import structlog

from batchyard_contracts.v1.events import ScheduleMissed
from services.ingest.domain.schedule import KEY_ENDED, UNREAD_FOR, UNREADABLE, DueDecision, Schedule, decide_due
from services.ingest.persistence.run_store import ClaimedSchedules, DueSchedule, RunStore
from services.ingest.persistence.schedule_store import NewRun
from shared.observability import metrics
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_LIMIT = 50
_MISSED = "Nothing could start in time, and the schedule makes up for no more."
_missed = metrics.counter("batchyard.schedules.missed", "Times of schedules for which nothing started.")


class DueSchedules:
    """Background task of each replica. A transaction locks schedules that are due, inserts their runs, and sets the
    next time; so each time has one run, however many replicas there are and whenever they end."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(self, runs: RunStore, outbox: Outbox) -> None:
        self._runs = runs
        self._outbox = outbox

    async def update(self) -> float | None:
        """Create the runs of some schedules; return 0 if more may be due."""
        async with self._runs.claim_schedules(_LIMIT) as claimed:
            taken = [await self._take(claimed, due) for due in claimed.due]
        await self._outbox.deliver(claimed.posted)
        return 0.0 if len(taken) == _LIMIT and any(taken) else None

    async def _take(self, claimed: ClaimedSchedules, due: DueSchedule) -> bool:
        """Decide on a schedule; False if it is left to a process of a newer version."""
        schedule = due.schedule
        if schedule.unread and due.now < due.next_at + UNREAD_FOR:
            return False
        if schedule.unread or not due.key_works:
            await claimed.pause(due, UNREADABLE if schedule.unread else KEY_ENDED)
            return True
        try:
            decision = decide_due(schedule.schedule_id, schedule.form, due.next_at, due.now)
        except ValueError as error:  # its zone is not in the data of this version
            log.warning("schedule cannot run", schedule_id=str(due.schedule_id), error=str(error))
            await claimed.pause(due, UNREADABLE)
            return True
        claimed.next_at[schedule.schedule_id] = decision.next_at
        claimed.runs += _runs(schedule, decision)
        if missed := decision.missed:
            _missed.add(missed.count)
            claimed.events.append(
                ScheduleMissed(
                    workload=schedule.workload,
                    owner=schedule.owner,
                    schedule=schedule.name,
                    first_at=missed.first_at,
                    last_at=missed.last_at,
                    count=missed.count,
                    reason=_MISSED,
                    at=due.now,
                )
            )
        return True


def _runs(schedule: Schedule, decision: DueDecision) -> list[NewRun]:
    key, overlap = schedule.schedule_id, schedule.form.overlap
    found = [NewRun(key, run.nominal_at, "schedule", "waiting", overlap, run.due_at) for run in decision.runs]
    if missed := decision.missed:
        first = missed.first_at
        found.append(NewRun(key, first, "schedule", "missed", overlap, first, _MISSED, missed.last_at, missed.count))
    return found

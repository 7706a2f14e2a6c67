"""Schedules: the times for which a schedule is due, and what becomes of times that passed while nothing could start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import islice, takewhile
from typing import Literal
from uuid import UUID

from batchyard_contracts.v1.schedules import ScheduleForm
from services.ingest.domain.cron import Cron, is_repeated
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.time_zone import zone_of

ON_TIME = timedelta(seconds=60)
"""Age up to which a time is not missed, whatever the schedule makes up for."""
MAX_CAUGHT_UP = 1000
"""Largest number of missed times that start at once, and that are counted."""
KEY_ENDED = "The API key that saved the schedule was revoked or has expired. Save it with another key, and resume it."
UNREADABLE = "This version of Batchyard cannot read the schedule. Save it again, and resume it."
UNREAD_FOR = timedelta(minutes=10)
"""Time for which a schedule that this version cannot read is left to a process of a newer one, as there is while
processes are replaced."""
Mark = Literal["moved", "repeated"]
"""Mark of a time near a change of the clock: `moved` comes after a local time that the clock skips, `repeated` is shown
twice by the clock."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of an owner."""

    schedule_id: UUID
    owner: str
    name: str
    workload: str
    form: ScheduleForm
    created_at: datetime
    key_id: str | None = None
    """API key that saved it, or its successor; when that is revoked, the schedule pauses."""
    paused: bool = False
    note: str = ""
    next_at: datetime | None = None
    """Next time for which it is due, in UTC."""
    unread: tuple[str, ...] = ()
    """Fields that a newer version has stored and this one cannot read, so that nothing starts."""


@dataclass(frozen=True, slots=True)
class DueRun:
    """Time for which a run starts, and the time at which it does."""

    nominal_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class MissedTimes:
    """Times that do not start any more; `count` is at most `MAX_CAUGHT_UP`."""

    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class DueDecision:
    """Decision on a due schedule: the runs that start now, the missed times, and the next time."""

    runs: Sequence[DueRun]
    missed: MissedTimes | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class ScheduledTime:
    """A future time of a schedule."""

    at: datetime
    """The time in UTC."""
    local: datetime
    mark: Mark | None = None


def check_schedule(form: ScheduleForm) -> Rejection | None:
    """Return why a schedule cannot be; None if it can."""
    for name, read in (("cron", Cron.parse), ("zone", zone_of)):
        try:
            read(getattr(form, name))
        except ValueError as error:
            text = str(error)
            return Rejection("invalid_schedule", f"{text[:1].upper()}{text[1:]}.", pointer=f"/{name}")
    return None


def times_after(form: ScheduleForm, moment: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule after a moment, between its start and its end."""
    if form.starts_at and form.starts_at > moment:
        moment = form.starts_at - timedelta(microseconds=1)
    for at in Cron.parse(form.cron).times(moment, zone_of(form.zone)):
        if form.ends_at and at > form.ends_at:
            return
        yield at


def times_between(form: ScheduleForm, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule from `first` to `last`."""
    return takewhile(lambda at: at <= last, times_after(form, first - timedelta(microseconds=1)))


def next_time(form: ScheduleForm, moment: datetime) -> datetime | None:
    """Return the next time of a schedule after a moment; None if there is none."""
    return next(times_after(form, moment), None)


def decide_due(schedule_id: UUID, form: ScheduleForm, next_at: datetime, now: datetime) -> DueDecision:
    """Return what a schedule that is due at `next_at` starts at `now`.

    Times beyond the catch-up window are missed. Of the others `one` starts the latest, `all` starts all, and `none`
    starts the latest if it is on time.
    """
    window = ON_TIME if form.missed == "none" else max(ON_TIME, timedelta(seconds=form.catch_up_s))
    opens_at = max(next_at, now - window)
    kept = _last_times(form, opens_at, now, MAX_CAUGHT_UP if form.missed == "all" else 1)
    following = next_time(form, now)
    runs = [
        DueRun(at, at + jitter_of(schedule_id, form, at, after))
        for at, after in zip(kept, [*kept[1:], following], strict=False)
    ]
    missed = None
    dropped_until = kept[0] - timedelta(microseconds=1) if kept else now
    if dropped := list(islice(times_between(form, next_at, dropped_until), MAX_CAUGHT_UP)):
        (last_at,) = _last_times(form, next_at, dropped_until, 1)
        missed = MissedTimes(dropped[0], last_at, len(dropped))
    return DueDecision(runs, missed, following)


def jitter_of(schedule_id: UUID, form: ScheduleForm, nominal_at: datetime, following: datetime | None) -> timedelta:
    """Return the delay of a time, which is the same whenever it is computed, and ends before the next time."""
    longest = timedelta(seconds=form.jitter_s)
    if following is not None:
        longest = min(longest, following - nominal_at)
    digest = blake2b(schedule_id.bytes + nominal_at.isoformat().encode(), digest_size=8).digest()
    return longest * (int.from_bytes(digest) / 2**64)


def preview(form: ScheduleForm, moment: datetime, count: int) -> list[ScheduledTime]:
    """Return the next times of a schedule, with marks where clocks change."""
    cron, zone = Cron.parse(form.cron), zone_of(form.zone)
    found: list[ScheduledTime] = []
    for at in islice(times_after(form, moment), count):
        local = at.astimezone(zone)
        mark: Mark | None = "repeated" if is_repeated(local) else None if cron.is_wall_time(local) else "moved"
        found.append(ScheduledTime(at, local, mark))
    return found


def _last_times(form: ScheduleForm, first: datetime, last: datetime, number: int) -> list[datetime]:
    """Return the last times of a schedule from `first` to `last`, at most `number`."""
    span = timedelta(minutes=number)
    while True:
        begin = max(first, last - span)
        found = list(times_between(form, begin, last))
        if len(found) >= number or begin == first:
            return found[-number:]
        span *= 2

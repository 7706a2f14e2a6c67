"""Queries for schedules, which ingest answers."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.queries.templates import NamePart
from batchyard_contracts.v1.schedules import ScheduleForm, ScheduleName
from batchyard_contracts.v1.templates import TemplateNote, TemplateVersion
from batchyard_contracts.v1.values import BatchId, Count, Detail, Owner, Time, WorkloadName

MAX_SCHEDULES = 200
"""Largest number of schedules, or of runs, in one reply."""


class SchedulesQuery(Message):
    """Query for the schedules of an owner by name, or for one."""

    type: ClassVar[str] = "schedules.query.v1"
    owner: Owner
    prefix: NamePart = ""
    """Beginning of the names."""
    after: NamePart = ""
    """`next_after` of the page before."""
    name: ScheduleName | None = None
    """Only this schedule."""
    limit: Annotated[int, Field(ge=1, le=MAX_SCHEDULES)] = 50


class ScheduleState(Value):
    """A schedule of an owner."""

    name: ScheduleName
    workload: WorkloadName
    form: ScheduleForm
    paused: bool = False
    note: TemplateNote = ""
    """Reason for the pause."""
    next_at: Time | None = None
    """Next time for which it is due; None: it is paused, or has ended."""
    created_at: Time
    unread: Annotated[list[Annotated[str, StringConstraints(max_length=63)]], Field(max_length=40)] = []
    """Fields of `form` that a newer version has stored and that could not be read: they have their defaults."""


class SchedulesReply(Message):
    """Reply with a page of schedules, which ends before it is too large for a message."""

    type: ClassVar[str] = "schedules.reply.v1"
    schedules: Annotated[list[ScheduleState], Field(max_length=MAX_SCHEDULES)] = []
    next_after: NamePart | None = None
    """Name after which the next page begins; None: this is the last one."""


class ScheduleRunsQuery(Message):
    """Query for the runs of a schedule before a time, the latest first."""

    type: ClassVar[str] = "runs.query.v1"
    owner: Owner
    name: ScheduleName
    before: Time | None = None
    """`next_before` of the page before; None: the latest."""
    limit: Annotated[int, Field(ge=1, le=MAX_SCHEDULES)] = 50


class ScheduleRun(Value):
    """A run of a schedule, or several times that were missed."""

    nominal_at: Time
    """Time for which it was due."""
    origin: Literal["schedule", "manual", "backfill"]
    state: Literal["waiting", "starting", "started", "ended", "skipped", "failed", "missed"]
    batch_id: BatchId | None = None
    template_version: TemplateVersion | None = None
    reason: Detail | None = None
    """Reason why no batch was started."""
    started_at: Time | None = None
    last_at: Time | None = None
    """Last of several missed times."""
    count: Count = 1
    """Number of missed times."""


class ScheduleRunsReply(Message):
    """Reply with runs of a schedule. Runs of one time are on one page, which may therefore exceed its limit."""

    type: ClassVar[str] = "runs.reply.v1"
    found: bool = True
    """False: the owner has no such schedule."""
    runs: Annotated[list[ScheduleRun], Field(max_length=MAX_SCHEDULES + 2)] = []
    next_before: Time | None = None
    """Time before which the next page begins; None: this is the last one."""

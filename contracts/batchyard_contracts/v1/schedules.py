"""Commands on schedules, by which batches start at recurring times."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from batchyard_contracts.message import Command, Message
from batchyard_contracts.v1.templates import BatchBody, Parameters, TemplateName, TemplateNote, TemplateVersion
from batchyard_contracts.v1.values import Text, Time

ScheduleName = TemplateName
CronText = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
ZoneName = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
Overlap = Literal["skip", "queue", "cancel", "allow"]
"""Rule for a run whose predecessor has not ended: it is skipped, waits, waits while the predecessor is cancelled, or
starts beside it."""
MissedRuns = Literal["none", "one", "all"]
"""Times that passed while nothing could start, and that are made up for: none, the latest, or all."""


class ScheduleForm(Command):
    """Content and times of a schedule."""

    cron: CronText
    """Five fields (minute, hour, day of the month, month, day of the week) or a macro such as `@daily`."""
    zone: ZoneName = "UTC"
    """Time zone of the cron expression, such as `Europe/Berlin`."""
    template: TemplateName | None = None
    """Template to submit; None: `batch` is submitted."""
    template_version: TemplateVersion | None = None
    """Version of the template; None: the latest at the time of each run."""
    parameters: Parameters = {}
    batch: BatchBody | None = None
    """Batch to submit, in place of a template."""
    overlap: Overlap = "skip"
    missed: MissedRuns = "one"
    catch_up_s: Annotated[int, Field(ge=60, le=2_678_400)] = 3600
    """Age in seconds up to which missed times are made up for, at most 31 days."""
    jitter_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Longest time in seconds by which a run starts late. Each time of a schedule has its own delay, which stays."""
    starts_at: Time | None = None
    ends_at: Time | None = None

    @model_validator(mode="after")
    def _has_one_content(self) -> "ScheduleForm":
        if (self.template is None) == (self.batch is None):
            raise ValueError("a schedule has a template or a batch")
        if self.template is None and (self.parameters or self.template_version):
            raise ValueError("parameters and template_version belong to a template")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        return self


class ScheduleSave(ScheduleForm):
    """Command that creates a schedule, or replaces it. What it has missed so far does not start any more."""

    type: ClassVar[str] = "schedule.save.v1"
    name: ScheduleName


class ScheduleControl(Command):
    """Command that pauses, resumes or deletes a schedule, or starts a run of it now."""

    type: ClassVar[str] = "schedule.control.v1"
    name: ScheduleName
    action: Literal["pause", "resume", "run", "delete"]
    note: TemplateNote = ""
    """Reason for a pause, which is shown with the schedule."""


class ScheduleAccepted(Message):
    """Reply to a command on a schedule, sent after its effect is durable."""

    type: ClassVar[str] = "schedule.accepted.v1"
    name: ScheduleName
    next_at: Time | None = None
    """Next time at which it is due; None: it is paused, deleted, or has ended."""
    at: Time

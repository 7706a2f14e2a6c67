"""Answers to queries for templates and schedules that arrive over AMQP, each only about what the owner sees."""

from batchyard_contracts.message import Envelope
from batchyard_contracts.pointer import MISSING
from batchyard_contracts.v1.queries import (
    ScheduleRun,
    ScheduleRunsQuery,
    ScheduleRunsReply,
    SchedulesQuery,
    SchedulesReply,
    ScheduleState,
    TemplateChange,
    TemplateQuery,
    TemplateReply,
    TemplatesQuery,
    TemplatesReply,
    TemplateState,
)
from services.ingest.domain.ever import EVER
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.json_difference import Difference
from services.ingest.domain.schedule import Schedule
from services.ingest.domain.template import Template
from services.ingest.persistence.schedule_store import RunRecord
from services.ingest.schedules.schedule_manager import ScheduleManager
from services.ingest.templates.template_manager import TemplateManager
from shared.messaging.message_router import Route

MAX_REPLY_BYTES = 1_500_000
"""Size at which a page of schedules ends, whose batches may be large."""
MAX_POINTER = 10_000


class QueryHandlers:
    """Handlers of queries, one for each."""

    def __init__(self, templates: TemplateManager, schedules: ScheduleManager) -> None:
        self._templates, self._schedules = templates, schedules
        self.routes = (
            Route(TemplatesQuery, self.on_templates_query),
            Route(TemplateQuery, self.on_template_query),
            Route(SchedulesQuery, self.on_schedules_query),
            Route(ScheduleRunsQuery, self.on_runs_query),
        )

    async def on_templates_query(self, query: TemplatesQuery, _: Envelope) -> TemplatesReply:
        """Return templates by name, or the versions of one."""
        if query.name is None:
            found = await self._templates.page(query.owner, query.after, query.limit, query.prefix)
            next_after = found[-1].name if len(found) == query.limit else None
            return TemplatesReply(templates=[_template(one) for one in found], next_after=next_after)
        try:
            versions = await self._templates.versions(query.owner, query.name)
        except IngestError:
            return TemplatesReply()
        left = [one for one in versions if query.below is None or one.version < query.below]
        page = left[: query.limit]
        next_below = page[-1].version if len(left) > len(page) else None
        return TemplatesReply(templates=[_template(one) for one in page], next_below=next_below)

    async def on_template_query(self, query: TemplateQuery, _: Envelope) -> TemplateReply:
        """Return one version of a template."""
        try:
            found = await self._templates.get(query.owner, query.name, query.version)
            changes = None
            if query.compare_with is not None:
                differing = await self._templates.difference(query.owner, query.name, query.compare_with, found.version)
                changes = [_change(one) for one in differing]
        except IngestError:
            return TemplateReply(found=False)
        return TemplateReply(template=_template(found), form=found.form, changes=changes)

    async def on_schedules_query(self, query: SchedulesQuery, _: Envelope) -> SchedulesReply:
        """Return schedules by name, or one."""
        if query.name is not None:
            try:
                return SchedulesReply(schedules=[_schedule(await self._schedules.get(query.owner, query.name))])
            except IngestError:
                return SchedulesReply()
        found = await self._schedules.page(query.owner, query.after, query.limit, query.prefix)
        states: list[ScheduleState] = []
        size = 0
        for one in found:
            state = _schedule(one)
            size += len(state.model_dump_json())
            if states and size > MAX_REPLY_BYTES:
                return SchedulesReply(schedules=states, next_after=states[-1].name)
            states.append(state)
        return SchedulesReply(schedules=states, next_after=found[-1].name if len(found) == query.limit else None)

    async def on_runs_query(self, query: ScheduleRunsQuery, _: Envelope) -> ScheduleRunsReply:
        """Return runs of a schedule."""
        try:
            found = await self._schedules.runs(query.owner, query.name, query.before or EVER, query.limit)
        except IngestError:
            return ScheduleRunsReply(found=False)
        next_before = found[-1].nominal_at if len(found) >= query.limit else None
        return ScheduleRunsReply(runs=[_run(one) for one in found], next_before=next_before)


def _template(template: Template) -> TemplateState:
    named = {name: getattr(template, name) for name in ("name", "version", "workload", "created_at", "created_by")}
    return TemplateState(**named, shared=template.is_shared, description=template.form.description)


def _change(difference: Difference) -> TemplateChange:
    before, after = difference.before, difference.after
    return TemplateChange(
        pointer=difference.pointer[:MAX_POINTER],
        is_new=before is MISSING,
        is_gone=after is MISSING,
        before=None if before is MISSING else before,
        after=None if after is MISSING else after,
    )


def _schedule(schedule: Schedule) -> ScheduleState:
    named = {name: getattr(schedule, name) for name in ("name", "workload", "paused", "note", "next_at", "created_at")}
    return ScheduleState.model_construct(**named, form=schedule.form, unread=list(schedule.unread))


def _run(run: RunRecord) -> ScheduleRun:
    named = {name: getattr(run, name) for name in ScheduleRun.model_fields if name != "count"}
    return ScheduleRun(**named, count=run.times)

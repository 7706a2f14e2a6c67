"""Routes of schedules."""

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, JsonValue

from batchyard_contracts.v1.schedules import Overlap, ScheduleForm, ScheduleName
from services.ingest.domain.schedule import Mark, Schedule, ScheduledTime
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import PauseRequest
from services.ingest.http.openapi import BODY_STATUSES, READ_STATUSES, problem_responses, request_body
from services.ingest.schedules.schedule_manager import ScheduleManager

MAX_PAGE = 200
MAX_TIMES = 50
_EXAMPLE: dict[str, Any] = {
    "cron": "0 6 * * MON",
    "zone": "Europe/Berlin",
    "template": "my-portfolio",
    "parameters": {"projects": [{"payload": {"project": "Bridge 1"}}]},
    "overlap": "queue",
}


class ScheduleView(BaseModel):
    """A schedule."""

    name: str
    workload: str
    cron: str
    zone: str
    template: str | None = None
    template_version: int | None = Field(None, description="absent: the latest at the time of each run")
    parameters: dict[str, JsonValue] = {}
    batch: dict[str, JsonValue] | None = None
    overlap: Overlap
    missed: str
    catch_up_s: int
    jitter_s: int
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    paused: bool
    note: str = Field("", description="reason for the pause")
    next_at: datetime | None = Field(None, description="next time for which it is due; absent: it is paused or ended")
    created_at: datetime
    unread: list[str] = Field(
        [],
        description="fields that a newer version has stored and this one cannot read; they are shown as their "
        "defaults, and nothing starts until the schedule is saved again",
    )


class ScheduleList(BaseModel):
    """Schedules by name. `next_after` is the cursor of the next page; absent at the end."""

    schedules: list[ScheduleView]
    next_after: str | None = None


class TimeView(BaseModel):
    """A future time of a schedule."""

    at: datetime = Field(description="the time in UTC")
    local: datetime = Field(description="the time in the zone of the schedule, with its offset")
    mark: Mark | None = Field(
        None,
        description="`moved`: the clock skips the time that the expression names, so the run follows right after it; "
        "`repeated`: the clock shows this time twice on that day",
    )


class TimeList(BaseModel):
    """The next times of a schedule."""

    times: list[TimeView]


def routes(manager: ScheduleManager, access: Access) -> APIRouter:
    """Return the routes."""
    reader, writer = access.owner("batches:read"), access.owner("schedules:write")
    starter = access.owner("batches:write", "schedules:write")
    router = APIRouter(tags=["schedules"])

    @router.get(
        "/schedules", summary="List schedules", response_model=ScheduleList, responses=problem_responses(401, 422, 503)
    )
    async def list_all(
        owner: Annotated[str, Depends(reader)],
        after: Annotated[str, Query(max_length=63, description="`next_after` of the previous page")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        prefix: Annotated[str, Query(max_length=63, description="beginning of the names")] = "",
    ) -> Response:
        """Your schedules by name."""
        found = await manager.page(owner, after.replace("\x00", ""), limit, prefix.replace("\x00", ""))
        next_after = found[-1].name if len(found) == limit else None
        return json_response(ScheduleList(schedules=[_view(one) for one in found], next_after=next_after))

    @router.put(
        "/schedules/{schedule}",
        summary="Save a schedule",
        response_model=ScheduleView,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES, 409),
        openapi_extra=request_body("ScheduleForm", _EXAMPLE),
    )
    async def save(schedule: ScheduleName, request: Request, owner: Annotated[str, Depends(starter)]) -> Response:
        """Create a schedule, or replace it. Its next time is after now: a change of the expression or the zone starts
        nothing of the past. The batches are submitted by the rights of the API key, and the schedule pauses when that
        is revoked."""
        form = cast("ScheduleForm", await body.read_message(request, ScheduleForm))
        return json_response(_view(await manager.save(owner, schedule, form)))

    @router.post(
        "/schedule-preview",
        summary="Preview a schedule",
        response_model=TimeList,
        responses=problem_responses(401, 422, 503, *BODY_STATUSES),
        openapi_extra=request_body("ScheduleForm", _EXAMPLE),
    )
    async def preview(
        request: Request,
        _: Annotated[str, Depends(reader)],
        count: Annotated[int, Query(ge=1, le=MAX_TIMES)] = 10,
    ) -> Response:
        """The next times of a schedule that is not saved, with marks where clocks change."""
        form = cast("ScheduleForm", await body.read_message(request, ScheduleForm))
        return json_response(TimeList(times=[_time(one) for one in await manager.preview(form, count)]))

    @router.get(
        "/schedules/{schedule}",
        summary="Show a schedule",
        response_model=ScheduleView,
        responses=problem_responses(*READ_STATUSES),
    )
    async def show(schedule: ScheduleName, owner: Annotated[str, Depends(reader)]) -> Response:
        """A schedule and its next time."""
        return json_response(_view(await manager.get(owner, schedule)))

    @router.delete(
        "/schedules/{schedule}",
        status_code=204,
        summary="Delete a schedule",
        responses={204: {"description": "It is deleted"}, **problem_responses(*READ_STATUSES)},
    )
    async def delete(schedule: ScheduleName, owner: Annotated[str, Depends(writer)]) -> Response:
        """Delete a schedule with its history. Batches that it has started go on."""
        await manager.delete(owner, schedule)
        return Response(status_code=204)

    @router.get(
        "/schedules/{schedule}/times",
        summary="List the next times of a schedule",
        response_model=TimeList,
        responses=problem_responses(*READ_STATUSES),
    )
    async def times(
        schedule: ScheduleName,
        owner: Annotated[str, Depends(reader)],
        count: Annotated[int, Query(ge=1, le=MAX_TIMES)] = 10,
    ) -> Response:
        """The next times, with marks where clocks change; none while the schedule is paused."""
        return json_response(TimeList(times=[_time(one) for one in await manager.next_times(owner, schedule, count)]))

    @router.post(
        "/schedules/{schedule}/pause",
        summary="Pause a schedule",
        response_model=ScheduleView,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES),
        openapi_extra=request_body("PauseRequest", {"note": "until the audit is over"}),
    )
    async def pause(schedule: ScheduleName, request: Request, owner: Annotated[str, Depends(writer)]) -> Response:
        """Let no further time become due. Runs that wait already, and those that a client asks for, start."""
        data = cast("PauseRequest", await body.read_message(request, PauseRequest))
        return json_response(_view(await manager.pause(owner, schedule, data.note)))

    @router.post(
        "/schedules/{schedule}/resume",
        summary="Resume a schedule",
        response_model=ScheduleView,
        responses=problem_responses(*READ_STATUSES, 409),
    )
    async def resume(schedule: ScheduleName, owner: Annotated[str, Depends(writer)]) -> Response:
        """Continue with the next time after now. Times during the pause are not made up for."""
        return json_response(_view(await manager.resume(owner, schedule)))

    return router


def _view(schedule: Schedule) -> ScheduleView:
    named = {name: getattr(schedule, name) for name in ("name", "workload", "paused", "note", "next_at", "created_at")}
    form = {name: getattr(schedule.form, name) for name in ScheduleForm.model_fields}
    return ScheduleView(**named, **form, unread=list(schedule.unread))


def _time(time: ScheduledTime) -> TimeView:
    return TimeView(at=time.at, local=time.local, mark=time.mark)

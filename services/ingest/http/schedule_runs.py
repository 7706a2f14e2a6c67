"""Routes of the runs of schedules: what became of each time, and runs that a client asks for."""

from datetime import datetime
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.schedules import ScheduleName
from batchyard_contracts.v1.values import Time
from services.ingest.api.service import IngestService
from services.ingest.domain.ever import EVER
from services.ingest.domain.overlap import Origin
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import BackfillRequest
from services.ingest.http.openapi import BODY_STATUSES, READ_STATUSES, problem_responses, request_body
from services.ingest.persistence.follow_up_store import FollowUpStore
from services.ingest.persistence.schedule_store import RunRecord
from services.ingest.schedules.schedule_manager import ScheduleManager

MAX_PAGE = 200


class RunView(BaseModel):
    """A run of a schedule, or several times that were missed."""

    nominal_at: datetime = Field(description="time for which it was due")
    origin: Origin
    state: str = Field(
        description="`waiting`, `starting`, `started`, `ended` (the batch has), `skipped`, `failed` or `missed`"
    )
    batch_id: UUID | None = None
    template_version: int | None = None
    reason: str | None = Field(None, description="why no batch was started")
    started_at: datetime | None = None
    last_at: datetime | None = Field(None, description="last of several missed times")
    count: int = Field(1, description="number of missed times; at most 1000 are counted")


class RunList(BaseModel):
    """Runs of a schedule, the latest first. `next_before` is the cursor of the next page; absent at the end."""

    runs: list[RunView]
    next_before: datetime | None = None


class StartedRun(BaseModel):
    """Nominal time of a run that a client asked for. Its batch starts within seconds."""

    nominal_at: datetime


class BackfillResult(BaseModel):
    """Number of times that were added."""

    runs: int


class FollowUpView(BaseModel):
    """A batch that follows another one."""

    template: str
    state: str = Field(description="`waiting` for the end of the batch, `starting`, `started` or `failed`")
    batch_id: UUID | None = None
    reason: str | None = Field(None, description="why there is no batch")


class Lineage(BaseModel):
    """Origin of a batch, and the batches that follow it; empty for one that a client submitted alone."""

    follows: UUID | None = Field(None, description="batch that this one follows")
    followed_by: list[FollowUpView] = []

    schedule: str | None = None
    nominal_at: datetime | None = None
    origin: Origin | None = None
    template: str | None = None
    template_version: int | None = None


def routes(manager: ScheduleManager, follow_ups: FollowUpStore, service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    reader, starter = access.owner("batches:read"), access.owner("batches:write", "schedules:write")
    batch_reader = access.any_owner("batches:read")
    router = APIRouter(tags=["schedules"])

    @router.get(
        "/schedules/{schedule}/runs",
        summary="List the runs of a schedule",
        response_model=RunList,
        responses=problem_responses(*READ_STATUSES),
    )
    async def runs(
        schedule: ScheduleName,
        owner: Annotated[str, Depends(reader)],
        before: Annotated[Time | None, Query(description="`next_before` of the previous page")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> Response:
        """Runs, the latest first, each with its state and the batch that it started."""
        found = await manager.runs(owner, schedule, before or EVER, limit)
        next_before = found[-1].nominal_at if len(found) >= limit else None
        return json_response(RunList(runs=[_run(one) for one in found], next_before=next_before))

    @router.post(
        "/schedules/{schedule}/run",
        status_code=202,
        summary="Run a schedule now",
        response_model=StartedRun,
        responses=problem_responses(*READ_STATUSES, 409),
    )
    async def run(schedule: ScheduleName, owner: Annotated[str, Depends(starter)]) -> Response:
        """Add a run for this moment, also while the schedule is paused. Its overlap rule applies."""
        return json_response(StartedRun(nominal_at=await manager.run_now(owner, schedule)), 202)

    @router.post(
        "/schedules/{schedule}/backfill",
        status_code=202,
        summary="Run times of the past",
        response_model=BackfillResult,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES, 409),
        openapi_extra=request_body(
            "BackfillRequest", {"first_at": "2026-11-01T00:00:00Z", "last_at": "2026-11-30T00:00:00Z"}
        ),
    )
    async def backfill(schedule: ScheduleName, request: Request, owner: Annotated[str, Depends(starter)]) -> Response:
        """Run each time of a span now, by default one after the other. A time is backfilled once."""
        data = cast("BackfillRequest", await body.read_message(request, BackfillRequest))
        added = await manager.backfill(owner, schedule, data.first_at, data.last_at, data.overlap)
        return json_response(BackfillResult(runs=added), 202)

    @router.get(
        "/batches/{batch_id}/lineage",
        summary="Show where a batch comes from",
        response_model=Lineage,
        responses=problem_responses(*READ_STATUSES),
    )
    async def lineage(batch_id: UUID, owner: Annotated[str, Depends(batch_reader)]) -> Response:
        """The run of a schedule that started a batch, or the batch that it follows, and the batches that follow it."""
        await service.header(owner, batch_id)
        run, before = await manager.run_of_batch(owner, batch_id), await follow_ups.batch_before(owner, batch_id)
        found = {} if run is None else run._asdict()
        if before is not None:
            found = {"follows": before.batch_id, "template": before.template, "template_version": before.version}
        following = [
            FollowUpView(template=one.template, state=one.state, batch_id=one.next_batch, reason=one.reason)
            for one in await follow_ups.follow_ups_of(owner, batch_id)
        ]
        return json_response(Lineage(**found, followed_by=following))

    return router


def _run(run: RunRecord) -> RunView:
    named = {name: getattr(run, name) for name in RunView.model_fields if name != "count"}
    return RunView(**named, count=run.times)

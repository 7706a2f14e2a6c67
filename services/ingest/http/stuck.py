"""Routes of batches that make no progress: why, and what an operator does about it."""

from datetime import datetime
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.queries import BatchState, HoldReason
from batchyard_contracts.v1.values import MAX_SECONDS
from services.ingest.api.service import IngestService
from services.ingest.control.remedies import BatchRemedies
from services.ingest.domain.caller import Caller
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.conditions import Condition
from services.ingest.http.json_response import json_response
from services.ingest.http.models import RemedyRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.queries.stuck_batches import MAX_STUCK, find_stuck


class StuckBatchView(BaseModel):
    """Unfinished batch without progress."""

    batch: BatchState
    since: datetime = Field(description="time of its newest change")
    reasons: list[HoldReason] = Field(description="reasons, that which holds back most first")


class StuckList(BaseModel):
    """Batches that make no progress, the one that was accepted first first."""

    batches: list[StuckBatchView]


def routes(service: IngestService, remedies: BatchRemedies, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["operators"])

    @router.get(
        "/stuck",
        summary="List batches without progress",
        response_model=StuckList,
        responses=problem_responses(401, 403, 422, 502, 503, 504),
    )
    async def stuck(
        caller: Annotated[Caller, Depends(access.caller("operate"))],
        idle_s: Annotated[
            float, Query(ge=1, le=MAX_SECONDS, description="seconds without an outcome or another change")
        ] = 60,
        limit: Annotated[int, Query(ge=1, le=MAX_STUCK)] = 50,
    ) -> Response:
        """For operators: unfinished batches of all owners without an outcome or another change for a while, each with
        the reasons. A batch that is paused, or not due yet, is among them."""
        found = await find_stuck(service.aggregator, caller.owner, idle_s, limit)
        views = [StuckBatchView(batch=one.state, since=one.since, reasons=list(one.reasons)) for one in found]
        return json_response(StuckList(batches=views))

    @router.post(
        "/batches/{batch_id}/remedies",
        status_code=202,
        summary="Help a batch that makes no progress",
        response_model=CommandAccepted,
        responses=problem_responses(400, 401, 403, 404, 408, 409, 412, 413, 415, 422, 503),
        openapi_extra=request_body("RemedyRequest", {"remedy": "release", "reason": "its worker hangs"}),
    )
    async def remedy(
        batch_id: UUID,
        request: Request,
        owner: Annotated[str, Depends(access.any_owner("operate"))],
        condition: Condition,
    ) -> Response:
        """For operators. `release` takes the items that are at workers back, as if these were lost, and runs them
        again; items that must not run twice fail as `needs_review`. `replay` sends the messages again that announce the
        batch and that reopened its items. Messages that became dead letters are replayed under `dead-letters`. The
        remedy is in the audit, with its reason."""
        data = cast("RemedyRequest", await body.read_message(request, RemedyRequest))
        return json_response(await remedies.apply(owner, batch_id, data.remedy, data.reason, condition), 202)

    return router

"""Routes of actions on all batches that a filter selects."""

from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Time
from services.ingest.bulk.bulk_manager import BulkManager
from services.ingest.domain.bulk_action import Action, BulkAction, BulkForm
from services.ingest.domain.ever import EVER
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import BatchActionRequest
from services.ingest.http.openapi import idempotency_key_header, problem_responses, request_body

_STATUSES = (400, 401, 403, 408, 409, 413, 415, 422, 429, 502, 503, 504)


class BatchActionView(BaseModel):
    """An action on many batches, and how far it is."""

    id: UUID
    action: Action
    state: Literal["running", "ended"]
    done: int = Field(description="batches that took the command")
    refused: int = Field(description="batches that refused it, for example because they had ended meanwhile")
    error: str | None = Field(
        None, description="reason for which the first of them refused it, or for which the action ended early"
    )
    created_at: datetime
    ended_at: datetime | None = None


class BatchActionPreview(BaseModel):
    """Batches that an action would be for. Nothing was changed."""

    count: int = Field(description="number of batches, of which the first 2,000 are counted")
    more: bool = Field(False, description="whether there are more than were counted")
    samples: list[BatchState] = Field(description="the first of them, in the order of acceptance")


class BatchActionList(BaseModel):
    """Actions on many batches, the newest first."""

    actions: list[BatchActionView]
    next: datetime | None = Field(None, description="`before` of the next page; absent at the end")


def routes(manager: BulkManager, access: Access) -> APIRouter:
    """Return the routes."""
    reader, writer = access.owner("batches:read"), access.owner("batches:write")
    router = APIRouter(tags=["batch-actions"])

    @router.post(
        "/batch-actions",
        status_code=202,
        summary="Act on many batches",
        response_model=BatchActionView,
        responses={
            200: {"description": "With `dry_run`: a preview; nothing was changed", "model": BatchActionPreview},
            **problem_responses(*_STATUSES),
        },
        openapi_extra={
            **request_body("BatchActionRequest", {"action": "pause", "filter": {"state": ["running"], "q": "friday"}}),
            "parameters": [idempotency_key_header()],
        },
    )
    async def begin(request: Request, owner: Annotated[str, Depends(writer)]) -> Response:
        """Pause, resume, cancel or retry all batches that a filter selects, or change their priority. It runs in the
        background on the batches that were accepted before it; each gets the same command as by itself, and the audit
        names who gave it. With `dry_run` only count them."""
        data = cast("BatchActionRequest", await body.read_message(request, BatchActionRequest))
        form = BulkForm(action=data.action, filter=data.filter, priority=data.priority)
        if data.dry_run:
            found = await manager.preview(owner, form)
            preview = BatchActionPreview(count=found.number, more=not found.is_all, samples=found.samples)
            return json_response(preview)
        action = await manager.begin(owner, form, body.idempotency_key(request))
        return json_response(_view(action), 202)

    @router.get(
        "/batch-actions",
        summary="List actions on many batches",
        response_model=BatchActionList,
        responses=problem_responses(401, 403, 422, 503),
    )
    async def list_all(
        owner: Annotated[str, Depends(reader)],
        before: Annotated[Time, Query(description="`next` of the previous page, or any time")] = EVER,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Your actions on many batches of the last 30 days, the newest first."""
        actions = await manager.page(owner, before, limit)
        following = actions[-1].created_at if len(actions) == limit else None
        found = BatchActionList(actions=[_view(action) for action in actions], next=following)
        return json_response(found)

    @router.get(
        "/batch-actions/{action_id}",
        summary="Show an action on many batches",
        response_model=BatchActionView,
        responses=problem_responses(401, 403, 404, 422, 503),
    )
    async def show(action_id: UUID, owner: Annotated[str, Depends(reader)]) -> Response:
        """An action, and the numbers of batches that took or refused the command."""
        found = _view(await manager.get(owner, action_id))
        return json_response(found)

    return router


def _view(action: BulkAction) -> BatchActionView:
    return BatchActionView(
        id=action.action_id,
        action=action.form.action,
        state="ended" if action.ended_at else "running",
        done=action.done,
        refused=action.refused,
        error=action.error,
        created_at=action.created_at,
        ended_at=action.ended_at,
    )

"""Routes that erase owners, for operators."""

from datetime import datetime
from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.values import Owner
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import ErasureRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.retention.owner_eraser import OwnerEraser


class ErasureView(BaseModel):
    """Erasure of an owner."""

    requested_at: datetime
    completed_at: datetime | None = Field(None, description="time since which nothing of the owner is left")
    deleted: dict[str, dict[str, int]] = Field(description="numbers of deleted rows so far, by service and table")


def routes(eraser: OwnerEraser, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["operators"], dependencies=[Depends(access.caller("operate"))])

    @router.post(
        "/owners/{name}/erase",
        status_code=202,
        summary="Erase an owner",
        response_model=ErasureView,
        responses=problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
        openapi_extra=request_body("ErasureRequest", {"reason": "contract ended"}),
    )
    async def erase(name: Owner, request: Request) -> Response:
        """For operators: delete all batches of an owner in all services, and then its schedules, templates, keys,
        limits, rules and entries of the audit. Its keys are revoked at once. Batches that have not ended: 409. It may
        be repeated; the audit keeps the request under an id that does not tell the name."""
        data = cast("ErasureRequest", await body.read_message(request, ErasureRequest))
        found = ErasureView.model_validate(await eraser.request(name, data.reason))
        return json_response(found, 202)

    @router.get(
        "/owners/{name}/erasure",
        summary="Show the erasure of an owner",
        response_model=ErasureView,
        responses=problem_responses(401, 403, 404, 422, 503),
    )
    async def show_erasure(name: Owner) -> Response:
        """For operators: how far the erasure of an owner is, and what was deleted where."""
        return json_response(ErasureView.model_validate(await eraser.show(name)))

    return router

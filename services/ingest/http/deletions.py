"""Routes that delete batches, and that show what was deleted."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.ingest.http.access import Access
from services.ingest.http.conditions import Condition
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import READ_STATUSES, problem_responses
from services.ingest.retention.batch_deleter import BatchDeleter


class DeletionView(BaseModel):
    """Deletion of a batch in all services."""

    batch_id: UUID
    cause: Literal["command", "retention", "erasure"] = Field(description="why it was deleted")
    requested_at: datetime
    completed_at: datetime | None = Field(None, description="time since which no service has anything of the batch")
    deleted: dict[str, dict[str, int]] = Field(
        description="numbers of deleted rows by service and table, of the services that have deleted their part"
    )


def routes(deleter: BatchDeleter, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["batches"])

    @router.delete(
        "/batches/{batch_id}",
        status_code=202,
        summary="Delete a batch",
        response_model=DeletionView,
        responses=problem_responses(401, 404, 409, 412, 422, 502, 503, 504),
    )
    async def delete(
        batch_id: UUID, owner: Annotated[str, Depends(access.any_owner("batches:write"))], condition: Condition
    ) -> Response:
        """Delete a batch that has ended, with its items, results, failures, notifications and their receivers. It is
        gone at once; what the services have of it follows by and by, as the response and
        `GET /batches/{batch_id}/deletion` tell. A repeated request has the same response. Entries of the
        audit and files that the batch has written stay, cached results until they expire. If the batch
        has not ended: 409."""
        found = DeletionView.model_validate(await deleter.delete(owner, batch_id, condition))
        return json_response(found, 202)

    @router.get(
        "/batches/{batch_id}/deletion",
        summary="Show the deletion of a batch",
        response_model=DeletionView,
        responses=problem_responses(*READ_STATUSES),
    )
    async def deletion(batch_id: UUID, owner: Annotated[str, Depends(access.any_owner("batches:read"))]) -> Response:
        """Numbers of what was deleted of a batch, and where. `completed_at` is there once every service has deleted its
        part. A deletion is remembered for 90 days."""
        return json_response(DeletionView.model_validate(await deleter.deletion(owner, batch_id)))

    return router

"""GET /batches/{id}/reasons: what holds back the items of a batch."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field

from batchyard_contracts.v1.queries import HoldReason, ReasonsQuery, ReasonsReply
from services.ingest.api.service import IngestService
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ever import EVER
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import BatchCommand
from services.ingest.http.openapi import problem_responses
from services.ingest.persistence.audit_log import AuditLog

_ARRIVING = HoldReason(
    code="arriving", detail="The dispatcher has no item of the batch yet. They are on their way; ask again in a moment."
)


class BatchReasons(ReasonsReply):
    """Reasons that hold back the items of a batch, those that hold back most first."""

    paused_by: Annotated[
        BatchCommand | None, Field(description="command that paused the batch; absent: it is not paused, or not known")
    ] = None


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    reader = access.any_owner("batches:read")
    router = APIRouter(tags=["batches"])

    @router.get(
        "/batches/{batch_id}/reasons",
        summary="Why a batch is not faster",
        response_model=BatchReasons,
        responses=problem_responses(401, 404, 422, 502, 503, 504),
    )
    async def reasons(batch_id: UUID, owner: Annotated[str, Depends(reader)]) -> Response:
        """Everything that holds back the items of a batch, also while others of them run: reasons for all of them, at
        most 50 destinations with their limits, items that wait for another attempt, and the place of the batch in line.
        A batch that has ended has no reasons, and `found` is false."""
        header = await service.header(owner, batch_id)
        reply = await service.aggregator.reasons(ReasonsQuery(owner=owner, batch_id=batch_id))
        shown = await _explained(reply, header, access.audit)
        return json_response(shown)

    return router


async def _explained(reply: ReasonsReply, header: BatchHeader, audit: AuditLog) -> BatchReasons:
    """Return the reply with what ingest knows: who paused the batch, and whether its items are still to arrive."""
    paused_by = None
    if reply.paused and (paused := await audit.batch_commands(header.batch_id, EVER, action="batch.pause", limit=1)):
        paused_by = BatchCommand(**paused[0])
    reasons = reply.reasons if reply.found or header.finished else [_ARRIVING]
    return BatchReasons(**{**dict(reply), "reasons": reasons, "paused_by": paused_by})

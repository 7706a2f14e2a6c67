"""POST /batches/{id}/accept-results: accepts results that were refused."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import CommandAccepted, ResultsAccept
from services.ingest.api.service import IngestService
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.conditions import Condition
from services.ingest.http.json_response import json_response
from services.ingest.http.models import AcceptResultsRequest
from services.ingest.http.openapi import (
    BODY_STATUSES,
    READ_STATUSES,
    idempotency_key_header,
    problem_responses,
    request_body,
)


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    writer = access.any_owner("batches:write")
    router = APIRouter(tags=["batches"])

    @router.post(
        "/batches/{batch_id}/accept-results",
        status_code=202,
        summary="Accept refused results",
        response_model=CommandAccepted,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES, 409, 412, 502, 504),
        openapi_extra={
            **request_body("AcceptResultsRequest", {"ordinals": [7], "reason": "the site has a new field"}),
            "parameters": [idempotency_key_header()],
        },
    )
    async def accept_results(
        batch_id: UUID, request: Request, owner: Annotated[str, Depends(writer)], condition: Condition
    ) -> Response:
        """Accept results of a finished batch that were refused as `invalid_result` and are kept. Their items succeed in
        a new round, in which nothing runs and which has its own final event."""
        data = cast("AcceptResultsRequest", await body.read_message(request, AcceptResultsRequest))
        command = ResultsAccept(
            batch_id=batch_id, ordinals=data.ordinals, custom_ids=data.custom_ids, reason=data.reason
        )
        key = body.idempotency_key(request)
        return json_response(await service.result_acceptor.accept(owner, command, key, condition), 202)

    return router

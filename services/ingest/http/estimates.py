"""POST /estimates: when a batch would end, without submitting it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import EstimateReply
from services.ingest.api.service import IngestService
from services.ingest.http.access import Access
from services.ingest.http.direct_route import DirectRoute
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.http.submission_body import UploadQuery, read_submission, submission_body

_EXAMPLE: dict[str, Any] = {
    "workload": "http",
    "deadline": "2030-01-01T00:00:00Z",
    "items": [{"payload": {"url": "https://example.org/"}}],
}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    owner_of = access.owner("batches:write")
    router = APIRouter(tags=["batches"], route_class=DirectRoute)

    @router.post(
        "/estimates",
        summary="Estimate a batch",
        response_model=EstimateReply,
        responses=problem_responses(400, 401, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504),
        openapi_extra=submission_body(_EXAMPLE),
    )
    async def estimate(
        request: Request, owner: Annotated[str, Depends(owner_of)], query: Annotated[UploadQuery, Depends()]
    ) -> Response:
        """Tell when a batch would end if it were submitted now: an interval, what binds, and which batches it would
        delay. With a `deadline`, also the chance to end in time, and a weight, rate or concurrency that would do.

        The request is that of `POST /batches`. The items are checked and counted, and nothing is stored."""
        with access.limits.upload(owner):
            submitted = await read_submission(request, query)
            if isinstance(submitted, BatchSubmit):
                estimate = await service.estimates.estimate(owner, submitted)
            else:
                estimate = await service.estimates.estimate_upload(owner, submitted)
            return json_response(estimate)

    return router

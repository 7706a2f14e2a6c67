"""Recommendations of contractors, which a worker answers at once."""

from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.recommendations import RecommendationsQuery, RecommendationsReply
from services.ingest.api.service import IngestService
from services.ingest.http import body
from services.ingest.http.models import RecommendationsRequest
from services.ingest.http.openapi import problem_responses, request_body

WORKLOAD = "distances"
"""Workload whose workers answer the query."""
_EXAMPLE = {
    "jobs": [{"id": "boiler-1", "lat": 39.7392, "lon": -104.9903, "skills": ["gas"]}],
    "contractors": [
        {"id": "ann", "lat": 39.7817, "lon": -105.0178, "skills": ["gas", "water"], "rating": 4.8, "reviews": 120},
        {"id": "bob", "lat": 39.6133, "lon": -105.0166, "skills": ["gas"], "rating": 4.1, "reviews": 15},
    ],
}


def routes(service: IngestService, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """Return the route; `owner_of` authenticates a request."""
    router = APIRouter(tags=["recommendations"], dependencies=[Depends(owner_of)])

    @router.post(
        "/recommendations",
        summary="Recommend contractors",
        response_model=RecommendationsReply,
        responses=problem_responses(400, 401, 408, 409, 413, 415, 422, 502, 503, 504),
        openapi_extra=request_body("RecommendationsRequest", _EXAMPLE),
    )
    async def recommend(request: Request) -> Response:
        """Rank the contractors for each job, with the parts of their scores, and the reasons why others are left
        out. Nothing is stored. When the distance provider does not answer by `deadline_s`, estimates are used, and
        `in_time` is false."""
        data = cast("RecommendationsRequest", await body.read_message(request, RecommendationsRequest))
        await service.registry.get_ready(WORKLOAD)
        reply = await service.aggregator.recommendations(RecommendationsQuery.model_construct(**dict(data)))
        return Response(reply.encode(), media_type=body.JSON)

    return router

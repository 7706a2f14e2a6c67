"""Which contractors fit a job best: passed on to a worker, whose answer comes back at once."""

from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.recommendations import RecommendationsQuery, RecommendationsReply
from services.ingest.api.service import Door
from services.ingest.http import body
from services.ingest.http.models import RecommendationsRequest
from services.ingest.http.openapi import problem_responses, request_body

WORKLOAD = "distances"
"""Who runs it answers."""
_EXAMPLE = {
    "jobs": [{"id": "boiler-1", "lat": 39.7392, "lon": -104.9903, "skills": ["gas"]}],
    "contractors": [
        {"id": "ann", "lat": 39.7817, "lon": -105.0178, "skills": ["gas", "water"], "rating": 4.8, "reviews": 120},
        {"id": "bob", "lat": 39.6133, "lon": -105.0166, "skills": ["gas"], "rating": 4.1, "reviews": 15},
    ],
}


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The route, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["recommendations"], dependencies=[Depends(owner_of)])

    @router.post(
        "/recommendations",
        summary="Recommend contractors",
        response_model=RecommendationsReply,
        responses=problem_responses(400, 401, 408, 409, 413, 415, 422, 502, 503, 504),
        openapi_extra=request_body("RecommendationsRequest", _EXAMPLE),
    )
    async def recommend(request: Request) -> Response:
        """For each job the contractors that fit it best, with what their scores are made of, and why the others are
        left out. Nothing is stored. When the provider of distances does not answer by `deadline_s`, estimates take
        its place, and `in_time` is false."""
        asked = cast("RecommendationsRequest", await body.read(request, RecommendationsRequest))
        await door.registry.ready(WORKLOAD)
        reply = await door.ledger.recommendations(RecommendationsQuery.model_construct(**dict(asked)))
        return Response(reply.encode(), media_type=body.JSON)

    return router

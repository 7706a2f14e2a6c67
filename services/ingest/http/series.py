"""GET /series and GET /batches/{id}/series: points of charts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.queries import MAX_POINTS, SeriesQuery, SeriesReply
from batchyard_contracts.v1.values import Owner
from services.ingest.api.service import IngestService
from services.ingest.domain.caller import Caller
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses

_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_Points = Annotated[int, Query(ge=2, le=MAX_POINTS, description="largest number of points")]


class SeriesPointView(BaseModel):
    """Items that ended in one step of time."""

    at: datetime = Field(description="beginning of the step")
    succeeded: float = Field(description="items a second")
    failed: float = Field(description="items a second")
    other: float = Field(description="cancelled, expired and duplicate items a second")
    p50_ms: float | None = Field(None, description="median duration of an item, within 10 %; absent: no item ran")
    p95_ms: float | None = Field(None, description="duration that 95 % of the items did not exceed")


class DestinationSeriesView(BaseModel):
    """Durations of items at one destination, by the steps of the points."""

    partition: str = Field(description="destination, as `rates` names it")
    p50_ms: list[float | None] = Field(description="median durations; null: no item ran there")
    p95_ms: list[float | None] = Field(description="durations that 95 % of the items did not exceed")


class Series(BaseModel):
    """Points at equal steps of time, the oldest first."""

    step_s: float = Field(description="length of a step; 0: there is no point")
    points: list[SeriesPointView]
    destinations: list[DestinationSeriesView] | None = Field(
        None,
        description="the eight destinations of a batch whose items ran most often; absent: no item has a destination",
    )


def routes(service: IngestService, access: Access, clock: Callable[[], datetime]) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get(
        "/series",
        tags=["overview"],
        summary="Throughput and durations of all batches",
        response_model=Series,
        responses=problem_responses(401, 422, 502, 503, 504),
    )
    async def series(
        caller: Annotated[Caller, Depends(access.caller("batches:read"))],
        owner: Annotated[
            Owner | None, Query(description="for operators: the owner of the batches; all owners if it is absent")
        ] = None,
        span: Annotated[Literal["hour", "day", "week"], Query(description="time up to now that is shown")] = "hour",
        points: _Points = 60,
    ) -> Response:
        """Items that ended, and how long they took, in equal steps of time: of the owner, or for an operator of all.
        The last step ended some seconds ago; what ended less than ten seconds ago may be missing."""
        visible = owner if caller.is_operator else caller.owner
        since = clock() - _SPANS[span]
        reply = await service.aggregator.series(SeriesQuery(owner=visible, since=since, points=points))
        return json_response(_view(reply))

    @router.get(
        "/batches/{batch_id}/series",
        tags=["batches"],
        summary="Throughput and durations of a batch",
        response_model=Series,
        responses=problem_responses(401, 404, 422, 502, 503, 504),
    )
    async def batch_series(
        batch_id: UUID, owner: Annotated[str, Depends(access.any_owner("batches:read"))], points: _Points = 60
    ) -> Response:
        """Items of a batch that ended, and how long they took, in equal steps from the first one to the last one; of
        its destinations, too. A batch that took less than two seconds has no points."""
        await service.header(owner, batch_id)
        reply = await service.aggregator.series(SeriesQuery(owner=owner, batch_id=batch_id, points=points))
        return json_response(_view(reply))

    return router


def _view(reply: SeriesReply) -> Series:
    points = [SeriesPointView.model_validate(point, from_attributes=True) for point in reply.points]
    destinations = [DestinationSeriesView.model_validate(one, from_attributes=True) for one in reply.destinations]
    return Series(step_s=reply.step_s, points=points, destinations=destinations or None)

"""GET /overview: what runs, what needs somebody, and whether all services work."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Owner
from services.ingest.domain.attention import Kind
from services.ingest.domain.caller import Caller
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.queries.overview_reader import Overview, OverviewReader


class BatchCounts(BaseModel):
    """Numbers of batches: those that have not ended, and by result those that ended in the last 24 hours."""

    open: int = Field(description="items may be added")
    running: int = Field(description="sealed, and not paused; open batches that are paused are not in it")
    paused: int | None = Field(None, description="absent while the dispatcher is away")
    completed: int | None = Field(None, description="ended in the last 24 hours; absent while the aggregator is away")
    partial: int | None = None
    failed: int | None = None
    cancelled: int | None = None


class ItemCounts(BaseModel):
    """Numbers of items that have not ended."""

    remaining: int
    running: int | None = Field(None, description="items that workers hold; absent while the dispatcher is away")


class AttentionEntry(BaseModel):
    """Something that needs somebody, and where to look."""

    kind: Kind
    detail: str = Field(description="sentence for people")
    at: datetime | None = Field(None, description="time of it; of an open circuit the time of its next probe")
    owner: str | None = None
    batch_id: UUID | None = None
    workload: str | None = None
    partition: str | None = None
    schedule: str | None = None
    queue: str | None = None
    count: int | None = Field(None, description="number of items, batches, messages or times that it concerns")


class SystemPart(BaseModel):
    """A service or a server."""

    name: str
    kind: Literal["service", "server"]
    state: Literal["up", "away"]
    instances: int | None = Field(None, description="processes that consume the queue of the service, or live workers")
    messages: int | None = Field(None, description="messages that wait in the queue of the service")


class OverviewView(BaseModel):
    """Batches that run, entries on what needs somebody, and the state of services and servers."""

    at: datetime
    batches: BatchCounts
    items: ItemCounts
    items_per_s: float = Field(description="items that end a second, on average over about 20 seconds")
    attention: list[AttentionEntry] = Field(description="the most urgent first, at most 50")
    system: list[SystemPart]
    ends: list[BatchState] | None = Field(
        None, description="the five batches that ended last, the newest first; absent while the aggregator is away"
    )


def routes(overviews: OverviewReader, access: Access) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["overview"])

    @router.get(
        "/overview",
        summary="What runs and what needs somebody",
        response_model=OverviewView,
        responses=problem_responses(401, 422, 503),
    )
    async def show(
        caller: Annotated[Caller, Depends(access.caller("batches:read"))],
        owner: Annotated[Owner | None, Query(description="for operators: one owner; absent: all")] = None,
    ) -> Response:
        """Numbers of batches and items, the rate, what needs somebody, the state of services and servers, and the last
        ends. An owner sees its own batches, an operator all. Numbers are at most a second old; parts that a service
        would tell that is away are absent."""
        visible = owner if caller.is_operator else caller.owner
        found = await overviews.read(visible, with_dead_letters=caller.is_operator)
        return json_response(overview_view(found))

    return router


def overview_view(found: Overview) -> OverviewView:
    """Return an overview as it is shown."""
    unfinished, ends, load = found.unfinished, found.ends, found.load
    paused = load.paused if load else 0
    counts = BatchCounts(
        open=unfinished.open,
        running=max(0, unfinished.batches - unfinished.open - paused),
        paused=load.paused if load else None,
    )
    if ends is not None:
        results = {result: ends.results.get(result, 0) for result in ("completed", "partial", "failed", "cancelled")}
        counts = counts.model_copy(update=results)
    return OverviewView(
        at=found.at,
        batches=counts,
        items=ItemCounts(remaining=unfinished.items, running=load.in_flight if load else None),
        items_per_s=round(unfinished.items_per_s, 3),
        attention=[AttentionEntry.model_validate(entry, from_attributes=True) for entry in found.attention],
        system=_system(found),
        ends=list(ends.last) if ends else None,
    )


def _system(found: Overview) -> list[SystemPart]:
    services = [
        SystemPart(
            name=service.name,
            kind="service",
            state="up" if service.consumers else "away",
            instances=service.consumers,
            messages=service.messages,
        )
        for service in found.system.services or ()
    ]
    if found.load is not None:
        workers = found.load.workers
        services.append(SystemPart(name="worker", kind="service", state="up" if workers else "away", instances=workers))
    servers = {"RabbitMQ": found.system.services is not None, "PostgreSQL": True, "Redis": found.system.has_redis}
    return [
        *services,
        *(SystemPart(name=name, kind="server", state="up" if is_up else "away") for name, is_up in servers.items()),
    ]

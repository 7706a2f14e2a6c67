"""How fast items go to their destinations, why, and how an operator changes it."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.manifest import FIRST_LIMIT, Manifest
from batchyard_contracts.v1.queries import RatesQuery, RatesReply
from batchyard_contracts.v1.values import WorkloadName
from services.ingest.api.service import Door
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.http import body
from services.ingest.http.dead_letters import NO_OPERATOR
from services.ingest.http.models import RatesRequest
from services.ingest.http.openapi import problem_responses, request_body

_ASKED = (401, 404, 422, 502, 503, 504)
_Value = Annotated[str | None, Query(max_length=255, description="one partition: a host, an account")]
_Limit = Annotated[str | None, Query(max_length=32, description="one limit of the manifest")]
_Lines = Annotated[int, Query(ge=0, le=200, description="lines of history for each")]


def routes(door: Door, owner_of: Callable[..., Awaitable[str]], operators: Collection[str] | None) -> APIRouter:
    """The routes. What they show and change concerns all owners; `operators` may change it, None: everybody."""
    router = APIRouter(tags=["rates"], dependencies=[Depends(owner_of)])

    @router.get("/rates", summary="Show all rates", response_model=RatesReply, responses=problem_responses(*_ASKED))
    async def listed(history: _Lines = 0) -> Response:
        """Every destination in use, the busiest first."""
        return _json(await door.ledger.rates(RatesQuery(history=history)))

    @router.get(
        "/rates/{workload}",
        summary="Show the rates of a workload",
        response_model=RatesReply,
        responses=problem_responses(*_ASKED),
    )
    async def show(
        workload: WorkloadName, limit: _Limit = None, partition: _Value = None, history: _Lines = 0
    ) -> Response:
        """The rate of each destination and its cause, what is out and waits, circuits, and the size of chunks."""
        await _known(door, workload)
        asked = RatesQuery(workload=workload, limit=limit, partition=partition, history=history)
        return _json(await door.ledger.rates(asked))

    router.include_router(_changes(door, owner_of, operators))
    return router


def _changes(door: Door, owner_of: Callable[..., Awaitable[str]], operators: Collection[str] | None) -> APIRouter:
    async def operator(owner: Annotated[str, Depends(owner_of)]) -> None:
        if operators is not None and owner not in operators:
            raise Refused(NO_OPERATOR)

    router = APIRouter(dependencies=[Depends(operator)])

    @router.put(
        "/rates/{workload}",
        summary="Override a rate",
        response_model=RatesReply,
        responses=problem_responses(*_ASKED, 400, 403, 408, 413, 415),
        openapi_extra=request_body(
            "RatesRequest", {"partition": "a.example", "rate": {"per_second": 5}, "concurrency": 2}
        ),
    )
    async def put(workload: WorkloadName, request: Request) -> Response:
        """Hold a destination, or all of a limit, to another rate or concurrency than the manifest says, at once and
        until it is taken back."""
        asked = cast("RatesRequest", await body.read(request, RatesRequest))
        if asked.rate is None and asked.adaptive is None and asked.concurrency is None:
            raise Refused(Fault("invalid_command", "Give a rate, adaptive bounds, or a concurrency.", 422))
        if asked.rate is not None and asked.adaptive is not None:
            raise Refused(Fault("invalid_command", "Give a rate or adaptive bounds, not both.", 422))
        return await _control(RatesControl(workload=workload, action="set", **dict(asked)))

    @router.delete(
        "/rates/{workload}",
        summary="Clear an override",
        response_model=RatesReply,
        responses=problem_responses(*_ASKED, 403),
    )
    async def clear(workload: WorkloadName, limit: _Limit = None, partition: _Value = None) -> Response:
        """Let the manifest hold again."""
        return await _control(_command(workload, "clear", limit, partition))

    @router.post(
        "/rates/{workload}/close",
        summary="Close a circuit",
        response_model=RatesReply,
        responses=problem_responses(*_ASKED, 403),
    )
    async def close(
        workload: WorkloadName, partition: Annotated[str, Query(max_length=255)] = "", limit: _Limit = None
    ) -> Response:
        """Let items go to a provider again that refused them, without waiting for the next try."""
        return await _control(_command(workload, "close", limit, partition))

    async def _control(command: RatesControl) -> Response:
        manifest = await _known(door, command.workload)
        names = [limit.name for limit in manifest.all_limits()]
        if command.limit not in names:
            raise Refused(Fault("unknown_limit", f"The workload has no such limit; it has {', '.join(names)}.", 404))
        return _json(await door.ledger.control_rates(command))

    return router


async def _known(door: Door, workload: str) -> Manifest:
    try:
        return (await door.registry.get(workload)).manifest
    except Refused as error:
        raise Refused(Fault(error.fault.code, error.fault.detail, 404)) from error


def _command(workload: str, action: Literal["clear", "close"], limit: str | None, value: str | None) -> RatesControl:
    return RatesControl(workload=workload, action=action, limit=limit or FIRST_LIMIT, partition=value)


def _json(reply: RatesReply) -> Response:
    return Response(reply.encode(), media_type=body.JSON)

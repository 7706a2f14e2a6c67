"""Routes that show the rates of destinations, and let operators override them."""

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.manifest import FIRST_LIMIT, Manifest
from batchyard_contracts.v1.queries import RatesQuery, RatesReply, RateState
from batchyard_contracts.v1.values import LimitName, Text, WorkloadName
from services.ingest.api.service import IngestService
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.models import RatesRequest
from services.ingest.http.openapi import QUERY_STATUSES, problem_responses, request_body
from services.ingest.persistence.audit_log import ALL_OWNERS

_CHANGED_BY_OPERATORS = {"partition", "per_second", "burst", "adaptive", "concurrency", "set_by_operator", "circuit"}
_MAX_AUDITED = 20
"""Largest number of rates whose state before a change is in the audit."""
_PartitionParam = Annotated[
    Text | None, Query(max_length=255, description="partition of the limit, such as a host or an account")
]
_LimitParam = Annotated[LimitName | None, Query(description="name of a limit of the manifest")]
_HistoryParam = Annotated[int, Query(ge=0, le=200, description="number of history entries for each rate")]


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["rates"])
    reader = access.caller("batches:read")

    @router.get(
        "/rates", summary="Show all rates", response_model=RatesReply, responses=problem_responses(*QUERY_STATUSES)
    )
    async def list_all(caller: Annotated[Caller, Depends(reader)], history: _HistoryParam = 0) -> Response:
        """Rates of the destinations that your batches use now, the busiest first; for operators those of all owners."""
        return _json(await service.aggregator.rates(RatesQuery(history=history, owner=_owner(caller))))

    @router.get(
        "/rates/{workload}",
        summary="Show the rates of a workload",
        response_model=RatesReply,
        responses=problem_responses(*QUERY_STATUSES),
    )
    async def show(
        workload: WorkloadName,
        caller: Annotated[Caller, Depends(reader)],
        limit: _LimitParam = None,
        partition: _PartitionParam = None,
        history: _HistoryParam = 0,
    ) -> Response:
        """Rate of each destination that your batches use now and its reason, items in flight and waiting, circuits, and
        chunk sizes; for operators those of all owners."""
        await _get_manifest(service, workload)
        query = RatesQuery(workload=workload, limit=limit, partition=partition, history=history, owner=_owner(caller))
        return _json(await service.aggregator.rates(query))

    return router


def changes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes that change rates, which concern all owners."""
    router = APIRouter(tags=["rates"], dependencies=[Depends(access.caller("operate"))])

    @router.put(
        "/rates/{workload}",
        summary="Override a rate",
        response_model=RatesReply,
        responses=problem_responses(*QUERY_STATUSES, 400, 403, 408, 413, 415),
        openapi_extra=request_body(
            "RatesRequest", {"partition": "a.example", "rate": {"per_second": 5}, "concurrency": 2}
        ),
    )
    async def override(workload: WorkloadName, request: Request) -> Response:
        """Override the rate or concurrency of a destination, or of all partitions of a limit, until the override is
        cleared."""
        data = cast("RatesRequest", await body.read_message(request, RatesRequest))
        if data.rate is None and data.adaptive is None and data.concurrency is None:
            raise IngestError(Rejection("invalid_command", "Give a rate, adaptive bounds, or a concurrency.", 422))
        if data.rate is not None and data.adaptive is not None:
            raise IngestError(Rejection("invalid_command", "Give a rate or adaptive bounds, not both.", 422))
        return await _control(RatesControl(workload=workload, action="set", **dict(data)))

    @router.delete(
        "/rates/{workload}",
        summary="Clear an override",
        response_model=RatesReply,
        responses=problem_responses(*QUERY_STATUSES, 403),
    )
    async def clear(workload: WorkloadName, limit: _LimitParam = None, partition: _PartitionParam = None) -> Response:
        """Clear an override: the manifest applies again."""
        return await _control(_command(workload, "clear", limit, partition))

    @router.post(
        "/rates/{workload}/close",
        summary="Close a circuit",
        response_model=RatesReply,
        responses=problem_responses(*QUERY_STATUSES, 403),
    )
    async def close(
        workload: WorkloadName, partition: Annotated[Text, Query(max_length=255)] = "", limit: _LimitParam = None
    ) -> Response:
        """Close the circuit of a destination now, without waiting for the next probe."""
        return await _control(_command(workload, "close", limit, partition))

    async def _control(command: RatesControl) -> Response:
        manifest = await _get_manifest(service, command.workload)
        names = [limit.name for limit in manifest.all_limits()]
        if command.limit not in names:
            raise IngestError(
                Rejection("unknown_limit", f"The workload has no such limit; it has {', '.join(names)}.", 404)
            )
        query = RatesQuery(workload=command.workload, limit=command.limit, partition=command.partition)
        before = [_audited(rate) for rate in (await service.aggregator.rates(query)).rates[:_MAX_AUDITED]]
        after = command.model_dump(mode="json", exclude_none=True)
        await access.audit.record(f"rates.{command.action}", ALL_OWNERS, command.workload, after, {"rates": before})
        return _json(await service.aggregator.control_rates(command))

    return router


def _audited(rate: RateState) -> dict[str, Any]:
    """Return what an operator may change of a rate."""
    return rate.model_dump(mode="json", include=_CHANGED_BY_OPERATORS, exclude_none=True)


def _owner(caller: Caller) -> str | None:
    return None if caller.is_operator else caller.owner


async def _get_manifest(service: IngestService, workload: str) -> Manifest:
    try:
        return (await service.registry.get(workload)).manifest
    except IngestError as error:
        raise IngestError(Rejection(error.rejection.code, error.rejection.detail, 404)) from error


def _command(
    workload: str, action: Literal["clear", "close"], limit: str | None, partition: str | None
) -> RatesControl:
    return RatesControl(workload=workload, action=action, limit=limit or FIRST_LIMIT, partition=partition)


def _json(reply: RatesReply) -> Response:
    return Response(reply.encode(), media_type=body.JSON)

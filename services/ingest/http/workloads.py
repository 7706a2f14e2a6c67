"""What can be run, and who runs it."""

from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import CacheInvalidate, ControlAccepted
from batchyard_contracts.v1.queries import WorkersReply
from batchyard_contracts.v1.values import WorkloadName
from services.ingest.api.service import Door
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.http import body
from services.ingest.http.models import InvalidateCacheRequest, WorkloadList, WorkloadView
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.persistence.workload_registry import Announced


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The routes, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["workloads"], dependencies=[Depends(owner_of)])

    @router.get(
        "/workloads", summary="List workloads", response_model=WorkloadList, responses=problem_responses(401, 503)
    )
    async def listed() -> Response:
        """Every workload that a worker has announced, with the schema of its items and an example."""
        views = [WorkloadView.of(known.manifest, known.at) for known in door.registry.all()]
        return Response(WorkloadList(workloads=views).model_dump_json(), media_type=body.JSON)

    @router.get(
        "/workloads/{name}",
        summary="Show a workload",
        response_model=WorkloadView,
        responses=problem_responses(401, 404, 422, 503),
    )
    async def show(name: WorkloadName) -> Response:
        """One workload."""
        known = await _known(door, name)
        return Response(WorkloadView.of(known.manifest, known.at).model_dump_json(), media_type=body.JSON)

    @router.post(
        "/workloads/{name}/invalidate-cache",
        status_code=202,
        summary="Invalidate cached results",
        response_model=ControlAccepted,
        responses=problem_responses(400, 401, 404, 408, 413, 415, 422, 503),
        openapi_extra=request_body("InvalidateCacheRequest", {"payload": {"url": "https://example.org/"}}),
    )
    async def invalidate_cache(name: WorkloadName, request: Request) -> Response:
        """Remove cached results of the workload: that of one `payload`, or with `{}` all. Outcomes of batches stay."""
        asked = cast("InvalidateCacheRequest", await body.read(request, InvalidateCacheRequest))
        await _known(door, name)
        accepted = await door.invalidation.invalidate(CacheInvalidate(workload=name, payload=asked.payload))
        return Response(accepted.encode(), 202, media_type=body.JSON)

    @router.get(
        "/workers",
        summary="List workers",
        response_model=WorkersReply,
        responses=problem_responses(401, 502, 503, 504),
    )
    async def workers() -> Response:
        """The workers that live, with what each of them is doing."""
        return Response((await door.ledger.workers()).encode(), media_type=body.JSON)

    return router


async def _known(door: Door, name: str) -> Announced:
    """A workload that an address names: one that is not there is not found."""
    try:
        return await door.registry.get(name)
    except Refused as error:
        raise Refused(Fault(error.fault.code, error.fault.detail, 404)) from error

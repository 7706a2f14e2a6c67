"""What can be run, and who runs it."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from batchyard_contracts.v1.queries import WorkersReply
from batchyard_contracts.v1.values import WorkloadName
from services.ingest.domain.fault import Fault
from services.ingest.door import Door
from services.ingest.http import body
from services.ingest.http.models import WorkloadList, WorkloadView
from services.ingest.http.openapi import problem_responses
from services.ingest.refusal import Refused


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
        try:
            known = await door.registry.get(name)
        except Refused as error:
            fault = error.fault
            raise Refused(Fault(fault.code, fault.detail, 404)) from error
        return Response(WorkloadView.of(known.manifest, known.at).model_dump_json(), media_type=body.JSON)

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

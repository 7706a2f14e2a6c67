"""Routes of workloads and workers."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import CacheInvalidate, ControlAccepted
from batchyard_contracts.v1.queries import WorkersReply
from batchyard_contracts.v1.values import WorkloadName
from services.ingest.api.service import IngestService
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access, lacks_scopes
from services.ingest.http.models import InvalidateCacheRequest, WorkloadList, WorkloadView
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.persistence.workload_registry import RegisteredWorkload


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["workloads"], dependencies=[Depends(access.caller())])

    @router.get(
        "/workloads", summary="List workloads", response_model=WorkloadList, responses=problem_responses(401, 503)
    )
    async def list_all() -> Response:
        """Workloads that workers have announced, with the schema of their items and an example."""
        capacities = await service.waiting_reasons.capacities()
        views = [
            WorkloadView.from_manifest(each.manifest, each.announced_at, capacities.get(each.manifest.name))
            for each in service.registry.all()
        ]
        return Response(WorkloadList(workloads=views).model_dump_json(), media_type=body.JSON)

    @router.get(
        "/workloads/{name}",
        summary="Show a workload",
        response_model=WorkloadView,
        responses=problem_responses(401, 404, 422, 503),
    )
    async def show(name: WorkloadName) -> Response:
        """A workload."""
        workload = await get_workload(service, name)
        capacity = (await service.waiting_reasons.capacities()).get(name)
        view = WorkloadView.from_manifest(workload.manifest, workload.announced_at, capacity)
        return Response(view.model_dump_json(), media_type=body.JSON)

    @router.post(
        "/workloads/{name}/invalidate-cache",
        status_code=202,
        summary="Invalidate cached results",
        response_model=ControlAccepted,
        responses=problem_responses(400, 401, 404, 408, 413, 415, 422, 503),
        openapi_extra=request_body("InvalidateCacheRequest", {"payload": {"url": "https://example.org/"}}),
    )
    async def invalidate_cache(
        name: WorkloadName, request: Request, caller: Annotated[Caller, Depends(access.caller("batches:write"))]
    ) -> Response:
        """Remove cached results of the workload: that of one `payload`, or with `{}` all. The latter takes the scope
        `operate`, because all owners share them. Outcomes of batches stay."""
        data = cast("InvalidateCacheRequest", await body.read_message(request, InvalidateCacheRequest))
        if data.payload is None and not caller.is_operator:
            raise IngestError(lacks_scopes(["operate"]))
        await get_workload(service, name)
        accepted = await service.cache_invalidator.invalidate(CacheInvalidate(workload=name, payload=data.payload))
        return Response(accepted.encode(), 202, media_type=body.JSON)

    @router.get(
        "/workers",
        summary="List workers",
        response_model=WorkersReply,
        responses=problem_responses(401, 502, 503, 504),
    )
    async def workers(caller: Annotated[Caller, Depends(access.caller())]) -> Response:
        """Live workers, with the number of items that each of them runs, and its slots. Ids of workers and of the
        chunks that they hold are for operators."""
        reply = await service.aggregator.workers()
        return Response((reply if caller.is_operator else _counts(reply)).encode(), media_type=body.JSON)

    return router


def _counts(reply: WorkersReply) -> WorkersReply:
    """Return the workers without their ids and chunks."""
    workers = [
        worker.model_copy(update={"worker_id": str(number), "chunks": []})
        for number, worker in enumerate(reply.workers, 1)
    ]
    return WorkersReply(workers=workers)


async def get_workload(service: IngestService, name: str) -> RegisteredWorkload:
    """Return the workload in a path; raises `IngestError` (404) when it is unknown."""
    try:
        return await service.registry.get(name)
    except IngestError as error:
        raise IngestError(Rejection(error.rejection.code, error.rejection.detail, 404)) from error

"""Batches after their submission: list, show, append, seal, steer."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from batchyard_contracts.message import Value
from batchyard_contracts.v1.commands import BatchAppend, BatchControl, BatchSeal, CommandAccepted
from batchyard_contracts.v1.queries import MAX_PAGE, BatchesQuery, BatchState, FailuresQuery, FailuresReply
from batchyard_contracts.v1.values import BatchStatus, WorkloadName
from services.ingest.api.service import Door
from services.ingest.http import body
from services.ingest.http.models import AppendRequest, BatchList, ChangeRequest
from services.ingest.http.openapi import idempotent, problem_responses, request_body

_ASKED = (401, 404, 422, 502, 503, 504)
_STEERED = (400, 401, 404, 409, 413, 415, 422, 503)
_GROWN = (408, 429)
_ITEMS = {"sequence": 0, "items": [{"payload": {"url": "https://www.1001tracklists.com/tracklist/9demo123/demo.html"}}]}


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The routes, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["batches"])

    @router.get(
        "/batches",
        summary="List batches",
        response_model=BatchList,
        responses=problem_responses(401, 422, 502, 503, 504),
    )
    async def listed(
        owner: Annotated[str, Depends(owner_of)],
        status: BatchStatus | None = None,
        workload: WorkloadName | None = None,
        before: Annotated[UUID | None, Query(description="the `next_before` of the answer before")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> Response:
        """Your batches, newest first."""
        found = await door.ledger.batches(
            BatchesQuery(owner=owner, status=status, workload=workload, before=before, limit=limit)
        )
        more = found[-1].batch_id if len(found) == limit else None
        return Response(BatchList(batches=found, next_before=more).model_dump_json(), media_type=body.JSON)

    @router.get(
        "/batches/{batch_id}", summary="Show a batch", response_model=BatchState, responses=problem_responses(*_ASKED)
    )
    async def show(batch_id: UUID, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """How far a batch is."""
        return _json(await door.state(owner, batch_id))

    @router.get(
        "/batches/{batch_id}/failures",
        summary="Failures by cause",
        response_model=FailuresReply,
        responses=problem_responses(*_ASKED),
    )
    async def failures(batch_id: UUID, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """What failed in a batch, grouped by error code, the largest group first."""
        await door.header(owner, batch_id)
        reply = await door.ledger.failures(FailuresQuery(owner=owner, batch_id=batch_id))
        return _json(reply if reply.found else FailuresReply())

    @router.post(
        "/batches/{batch_id}/items",
        status_code=202,
        summary="Append items to an open batch",
        response_model=CommandAccepted,
        responses=problem_responses(*_STEERED, *_GROWN),
        openapi_extra=request_body("AppendRequest", _ITEMS),
    )
    async def append(batch_id: UUID, request: Request, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """Add items to a batch that was submitted with `sealed` false. A sequence number counts once."""
        asked = cast("AppendRequest", await body.read(request, AppendRequest))
        command = BatchAppend(batch_id=batch_id, sequence=asked.sequence, items=asked.items)
        return _json(await door.growth.append(owner, command), 202)

    @router.post(
        "/batches/{batch_id}/seal",
        status_code=202,
        summary="Seal an open batch",
        response_model=CommandAccepted,
        responses=problem_responses(401, 404, 409, 422, 503),
    )
    async def seal(batch_id: UUID, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """Say that no more items follow."""
        return _json(await door.growth.seal(owner, BatchSeal(batch_id=batch_id)), 202)

    @router.patch(
        "/batches/{batch_id}",
        status_code=202,
        summary="Change a batch",
        response_model=CommandAccepted,
        responses=problem_responses(*_STEERED, 408),
        openapi_extra={
            **request_body("ChangeRequest", {"priority": "immediate", "rate": {"per_second": 20, "burst": 2}}),
            "parameters": [idempotent()],
        },
    )
    async def change(batch_id: UUID, request: Request, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """Give a batch another priority or other terms; what has not started follows them at once.

        Of a batch that has finished they hold from its next round on: `finished` in the answer says so.
        """
        asked = cast("ChangeRequest", await body.read(request, ChangeRequest))
        told = {name: getattr(asked, name) for name in ChangeRequest.model_fields}
        command = BatchControl(batch_id=batch_id, action="change", **told)
        return _json(await door.steering.control(owner, command, body.idempotency_key(request)), 202)

    @router.post(
        "/batches/{batch_id}/{action}",
        status_code=202,
        summary="Pause, resume or cancel a batch",
        response_model=CommandAccepted,
        responses=problem_responses(401, 404, 409, 422, 502, 503, 504),
        openapi_extra={"parameters": [idempotent()]},
    )
    async def steer(
        batch_id: UUID,
        action: Literal["pause", "resume", "cancel"],
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
    ) -> Response:
        """`cancel` keeps every result made before. Of a batch that has finished nothing can be stopped: that is 409."""
        command = BatchControl(batch_id=batch_id, action=action)
        return _json(await door.steering.control(owner, command, body.idempotency_key(request)), 202)

    return router


def _json(value: Value, status: int = 200) -> Response:
    return Response(value.model_dump_json(exclude_none=True), status, media_type=body.JSON)

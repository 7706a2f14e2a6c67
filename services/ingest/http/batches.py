"""Routes of submitted batches: show, append, seal, control."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchAppend, BatchControl, BatchSeal, CommandAccepted
from batchyard_contracts.v1.queries import (
    BatchState,
    DeliveriesQuery,
    DeliveriesReply,
    FailuresQuery,
    FailuresReply,
)
from services.ingest.api.service import IngestService
from services.ingest.domain.precondition import entity_tag, is_unchanged
from services.ingest.http import body
from services.ingest.http.access import Access, OwnerCheck
from services.ingest.http.conditions import ETAG, Condition, IfNoneMatch
from services.ingest.http.json_response import json_response
from services.ingest.http.models import AppendRequest, ChangeRequest, FinishRequest
from services.ingest.http.openapi import QUERY_STATUSES, idempotency_key_header, problem_responses, request_body

_COMMAND_STATUSES = (400, 401, 404, 409, 412, 413, 415, 422, 503)
_APPEND_STATUSES = (408, 429)
_Action = Literal["pause", "resume", "cancel"]
_CONTROLS: dict[_Action, tuple[str, str]] = {
    "pause": ("Pause a batch", "Items that have not started wait until the batch is resumed. A finished batch: 409."),
    "resume": ("Resume a batch", "Items of a paused batch start again. A finished batch: 409."),
    "cancel": (
        "Cancel a batch",
        "Items that have not ended are cancelled; results stay. `cancelled` tells how many. A finished batch: 409.",
    ),
}
_ITEMS = {"sequence": 0, "items": [{"payload": {"url": "https://example.org/"}}]}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    reader, writer = access.any_owner("batches:read"), access.any_owner("batches:write")
    causes = access.any_owner("batches:read", others=("operate", "payloads:read"))
    appender, operator = access.owner("batches:write"), access.any_owner("operate")
    router = APIRouter(tags=["batches"])

    @router.get(
        "/batches/{batch_id}",
        summary="Show a batch",
        response_model=BatchState,
        responses={
            200: {"headers": ETAG},
            304: {"description": "The client has this state already", "headers": ETAG},
            **problem_responses(*QUERY_STATUSES),
        },
    )
    async def show(
        batch_id: UUID, owner: Annotated[str, Depends(reader)], if_none_match: IfNoneMatch = None
    ) -> Response:
        """State and progress of a batch, and the reason why it waits, if no item of it runs."""
        state = await service.explained_state(owner, batch_id)
        document = state.model_dump_json(exclude_none=True).encode()
        tag = entity_tag(state, document)
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if is_unchanged(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        return Response(document, headers=headers, media_type=body.JSON)

    @router.get(
        "/batches/{batch_id}/failures",
        summary="Failures by cause",
        response_model=FailuresReply,
        responses=problem_responses(*QUERY_STATUSES),
    )
    async def failures(batch_id: UUID, owner: Annotated[str, Depends(causes)]) -> Response:
        """Failures of a batch, grouped by error code, the largest group first."""
        await service.header(owner, batch_id)
        reply = await service.aggregator.failures(FailuresQuery(owner=owner, batch_id=batch_id))
        return json_response(reply if reply.found else FailuresReply())

    @router.get(
        "/batches/{batch_id}/deliveries",
        summary="Notifications of a batch",
        response_model=DeliveriesReply,
        responses=problem_responses(*QUERY_STATUSES),
    )
    async def deliveries(batch_id: UUID, owner: Annotated[str, Depends(reader)]) -> Response:
        """Webhooks and e-mails about the end of each round, the newest first: whom they go to, whether they arrived,
        and when the next attempt is made. Parts of a URL that may be secret are shown as `…`."""
        await service.header(owner, batch_id)
        return json_response(await service.aggregator.deliveries(DeliveriesQuery(owner=owner, batch_id=batch_id)))

    @router.post(
        "/batches/{batch_id}/items",
        status_code=202,
        summary="Append items to an open batch",
        response_model=CommandAccepted,
        responses=problem_responses(*_COMMAND_STATUSES, *_APPEND_STATUSES),
        openapi_extra=request_body("AppendRequest", _ITEMS),
    )
    async def append(
        batch_id: UUID, request: Request, owner: Annotated[str, Depends(appender)], condition: Condition
    ) -> Response:
        """Add items to a batch that was submitted with `sealed` false. Each sequence number acts once."""
        data = cast("AppendRequest", await body.read_message(request, AppendRequest))
        command = BatchAppend(batch_id=batch_id, sequence=data.sequence, items=data.items)
        return json_response(await service.appender.append(owner, command, condition), 202)

    @router.post(
        "/batches/{batch_id}/seal",
        status_code=202,
        summary="Seal an open batch",
        response_model=CommandAccepted,
        responses=problem_responses(401, 404, 409, 412, 422, 503),
    )
    async def seal(batch_id: UUID, owner: Annotated[str, Depends(writer)], condition: Condition) -> Response:
        """Close the batch to further items."""
        return json_response(await service.appender.seal(owner, BatchSeal(batch_id=batch_id), condition), 202)

    @router.patch(
        "/batches/{batch_id}",
        status_code=202,
        summary="Change a batch",
        response_model=CommandAccepted,
        responses=problem_responses(*_COMMAND_STATUSES, 408),
        openapi_extra={
            **request_body("ChangeRequest", {"priority": "immediate", "rate": {"per_second": 20, "burst": 2}}),
            "parameters": [idempotency_key_header()],
        },
    )
    async def change(
        batch_id: UUID, request: Request, owner: Annotated[str, Depends(writer)], condition: Condition
    ) -> Response:
        """Change the priority or the terms of a batch. Items that have not started follow them at once.

        For a finished batch the change applies from its next round on, and the response has `finished` set.
        """
        data = cast("ChangeRequest", await body.read_message(request, ChangeRequest))
        changes = {name: getattr(data, name) for name in ChangeRequest.model_fields}
        command = BatchControl(batch_id=batch_id, action="change", **changes)
        key = body.idempotency_key(request)
        return json_response(await service.control_handler.control(owner, command, key, condition), 202)

    @router.post(
        "/batches/{batch_id}/finish",
        status_code=202,
        summary="End a batch",
        response_model=CommandAccepted,
        responses=problem_responses(*_COMMAND_STATUSES, 403, 408),
        openapi_extra=request_body("FinishRequest", {"reason": "the dispatcher has lost its items"}),
    )
    async def finish(
        batch_id: UUID, request: Request, owner: Annotated[str, Depends(operator)], condition: Condition
    ) -> Response:
        """For operators: cancel a batch and end it at once, whatever the dispatcher and the workers do. Items without
        an outcome are cancelled; late results are dropped. The reason is in the audit."""
        data = cast("FinishRequest", await body.read_message(request, FinishRequest))
        command = BatchControl(batch_id=batch_id, action="cancel")
        reply = await service.control_handler.control(owner, command, None, condition, forced_because=data.reason)
        return json_response(reply, 202)

    for action, (summary, description) in _CONTROLS.items():
        router.add_api_route(
            f"/batches/{{batch_id}}/{action}",
            _control(service, writer, action),
            methods=["POST"],
            name=action,
            status_code=202,
            summary=summary,
            description=description,
            response_model=CommandAccepted,
            responses=problem_responses(400, 401, 404, 409, 412, 422, 502, 503, 504),
            openapi_extra={"parameters": [idempotency_key_header()]},
        )
    return router


def _control(service: IngestService, writer: OwnerCheck, action: _Action) -> Callable[..., Awaitable[Response]]:
    """Return the function of the route of one action."""

    async def control(
        batch_id: UUID, request: Request, owner: Annotated[str, Depends(writer)], condition: Condition
    ) -> Response:
        command = BatchControl(batch_id=batch_id, action=action)
        key = body.idempotency_key(request)
        reply = await service.control_handler.control(owner, command, key, condition, with_summary=True)
        return json_response(reply, 202)

    return control

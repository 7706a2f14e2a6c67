"""POST /batches/{id}/retry: runs items of a finished batch again, or previews it."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchControl, CommandAccepted
from services.ingest.api.service import IngestService
from services.ingest.control.retry_preview import RetryPreview
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.scope import missing_scopes
from services.ingest.http import body
from services.ingest.http.access import READ, Access, lacks_scopes
from services.ingest.http.conditions import Condition
from services.ingest.http.json_response import json_response
from services.ingest.http.models import RetryRequest
from services.ingest.http.openapi import idempotency_key_header, json_body, problem_responses

_EXAMPLE = {
    "select": {"codes": ["not_found"], "partitions": ["example.org"]},
    "patch": [{"op": "replace", "path": "/url", "value": "https://www.example.org/"}],
    "dry_run": True,
}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    owner_of, reader = access.any_owner("batches:write"), access.caller("batches:write")
    router = APIRouter(tags=["batches"])

    @router.post(
        "/batches/{batch_id}/retry",
        status_code=202,
        summary="Retry a batch",
        response_model=CommandAccepted,
        responses={
            200: {"description": "With `dry_run`: preview of the retry", "model": RetryPreview},
            **problem_responses(400, 401, 404, 408, 409, 412, 413, 415, 422, 502, 503, 504),
        },
        openapi_extra={
            "requestBody": {"required": False, "content": {body.JSON: json_body("RetryRequest", _EXAMPLE)}},
            "parameters": [idempotency_key_header()],
        },
    )
    async def retry(
        batch_id: UUID,
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        caller: Annotated[Caller, Depends(reader)],
        condition: Condition,
    ) -> Response:
        """Run items of a finished batch again, in a new round with its own final event.

        Items that succeeded are not touched. A patch changes the payloads first. They are validated like new items, and
        none runs if one is invalid, unless `skip_invalid` leaves it out.
        """
        raw = await body.read_bytes(request)
        data = RetryRequest()
        if raw:
            body.media_type(request, body.JSON)
            data = cast("RetryRequest", body.decode(raw, RetryRequest))
        command = BatchControl(
            batch_id=batch_id,
            action="retry",
            select=data.select,
            patch=data.patch,
            skip_invalid=data.skip_invalid,
        )
        if data.dry_run:
            if owner != caller.owner and (missing := missing_scopes(("payloads:read",), caller.scopes)):
                raise IngestError(lacks_scopes(missing))
            if owner != caller.owner:
                await access.audit.record(READ, owner, str(batch_id), {"path": request.url.path})
            preview = await service.control_handler.preview_retry(owner, command, condition)
            return Response(preview.model_dump_json(), media_type=body.JSON)
        key = body.idempotency_key(request)
        accepted = await service.control_handler.control(owner, command, key, condition)
        return json_response(accepted, 202)

    return router

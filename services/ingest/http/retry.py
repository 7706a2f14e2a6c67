"""POST /batches/{id}/retry: what is to run again, with which change, and what that would do."""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchControl, CommandAccepted
from services.ingest.api.service import Door
from services.ingest.control.retry_preview import RetryPreview
from services.ingest.http import body
from services.ingest.http.models import RetryRequest
from services.ingest.http.openapi import idempotent, json_body, problem_responses

_EXAMPLE = {
    "select": {"codes": ["not_found"], "partitions": ["www.1001tracklists.com"]},
    "patch": [{"op": "replace", "path": "/url", "value": "https://www.1001tracklists.com/tracklist/9demo123/x.html"}],
    "dry_run": True,
}


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The route, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["batches"])

    @router.post(
        "/batches/{batch_id}/retry",
        status_code=202,
        summary="Retry a batch",
        response_model=CommandAccepted,
        responses={
            200: {"description": "With `dry_run`: what would run", "model": RetryPreview},
            **problem_responses(400, 401, 404, 408, 409, 413, 415, 422, 502, 503, 504),
        },
        openapi_extra={
            "requestBody": {"required": False, "content": {body.JSON: json_body("RetryRequest", _EXAMPLE)}},
            "parameters": [idempotent()],
        },
    )
    async def retry(batch_id: UUID, request: Request, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """Run items of a finished batch once more, in a new round, which ends with its own event.

        What succeeded stays as it is. A patch changes the payloads first; they are checked like those of new items,
        and none runs if one is wrong, unless `skip_invalid` says to leave it out.
        """
        raw = await body.read_bytes(request)
        asked = RetryRequest()
        if raw:
            body.media_type(request, body.JSON)
            asked = cast("RetryRequest", body.decode(raw, RetryRequest))
        command = BatchControl(
            batch_id=batch_id,
            action="retry",
            select=asked.select,
            patch=asked.patch,
            skip_invalid=asked.skip_invalid,
        )
        if asked.dry_run:
            preview = await door.steering.preview(owner, command)
            return Response(preview.model_dump_json(), media_type=body.JSON)
        accepted = await door.steering.control(owner, command, body.idempotency_key(request))
        return Response(accepted.model_dump_json(exclude_none=True), 202, media_type=body.JSON)

    return router

"""POST /estimates: when a batch would end, without submitting it."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import EstimateReply
from batchyard_contracts.v1.values import Priority, WorkloadName
from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.direct_route import DirectRoute
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import file_body, json_body, problem_responses
from services.ingest.http.submit import NO_WORKLOAD, command_from_query, reader_of

_EXAMPLE: dict[str, Any] = {
    "workload": "http",
    "deadline": "2030-01-01T00:00:00Z",
    "items": [{"payload": {"url": "https://example.org/"}}],
}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    owner_of = access.owner("batches:write")
    router = APIRouter(tags=["batches"], route_class=DirectRoute)

    @router.post(
        "/estimates",
        summary="Estimate a batch",
        response_model=EstimateReply,
        responses=problem_responses(400, 401, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    body.JSON: json_body("BatchSubmit", _EXAMPLE),
                    body.NDJSON: file_body("One payload, or one `{payload, custom_id}`, per line.", '{"url": "…"}\n'),
                    body.CSV: file_body("A header with the fields of the payload, then one item per row.", "url\n…\n"),
                },
            }
        },
    )
    async def estimate(
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        workload: Annotated[WorkloadName | None, Query(description="for an upload")] = None,
        priority: Annotated[Priority, Query(description="for an upload")] = "normal",
        options: Annotated[
            str | None,
            Query(description="for an upload: terms, as for `POST /batches`", max_length=20_000),
        ] = None,
    ) -> Response:
        """Tell when a batch would end if it were submitted now: an interval, what binds, and which batches it would
        delay. With a `deadline`, also the chance to end in time, and a weight, rate or concurrency that would do.

        The request is that of `POST /batches`. The items are checked and counted, and nothing is stored."""
        kind = body.media_type(request, body.JSON, body.NDJSON, body.CSV)
        with access.limits.upload(owner):
            if kind == body.JSON:
                command = cast("BatchSubmit", body.decode(await body.read_bytes(request), BatchSubmit))
                return json_response(await service.estimates.estimate(owner, command))
            if workload is None:
                raise IngestError(NO_WORKLOAD)
            command = command_from_query({"workload": workload, "priority": priority}, (), options)
            chunks = body.chunks(request)
            return json_response(await service.estimates.estimate_upload(owner, command, reader_of(kind), chunks))

    return router

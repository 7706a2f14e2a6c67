"""POST /batches: a command as JSON, or a file of items as NDJSON or CSV."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.templates import TemplateRun
from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.direct_route import DirectRoute
from services.ingest.http.openapi import idempotency_key_header, problem_responses
from services.ingest.http.submission_body import UploadQuery, read_submission, submission_body

SubmissionT = TypeVar("SubmissionT", BatchSubmit, TemplateRun)
_CONFLICTING_KEYS = Rejection(
    "invalid_command", "The header Idempotency-Key and the field idempotency_key differ. Send only one."
)
_EXAMPLE: dict[str, Any] = {
    "workload": "http",
    "name": "friday calls",
    "items": [{"payload": {"url": "https://example.org/"}, "custom_id": "row-1"}],
}


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    owner_of = access.owner("batches:write")
    router = APIRouter(tags=["batches"], route_class=DirectRoute)

    @router.post(
        "/batches",
        status_code=202,
        summary="Submit a batch",
        response_model=CommandAccepted,
        responses=problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 503),
        openapi_extra={**submission_body(_EXAMPLE), "parameters": [idempotency_key_header()]},
    )
    async def submit(
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        query: Annotated[UploadQuery, Depends()],
    ) -> Response:
        """Submit a batch.

        The response is sent once the batch is durable. A file may have any length, and is validated while it arrives.
        Up to 10,000 items and 4 MiB it is accepted or rejected as a whole. A longer one becomes an open batch whose
        first items run while the rest arrives. If the upload is interrupted, or a later line is invalid, the batch
        keeps its items; sending the same items again under the same Idempotency-Key continues where it stopped.
        """
        key = body.idempotency_key(request)
        submitted = await read_submission(request, query, key)
        if isinstance(submitted, BatchSubmit):
            accepted = await service.submitter.submit(owner, with_idempotency_key(submitted, key))
        else:
            accepted = await service.uploads.receive(owner, submitted)
        accepted = await service.waiting_reasons.add_note(accepted)
        location = f"{request.url.path}/{accepted.batch_id}"
        return Response(accepted.encode(), 202, {"Location": location}, body.JSON)

    return router


def with_idempotency_key(command: SubmissionT, key: str | None) -> SubmissionT:
    """Return the submission with the key of the header; raises `IngestError` if it has another one."""
    if key is None or key == command.idempotency_key:
        return command
    if command.idempotency_key is not None:
        raise IngestError(_CONFLICTING_KEYS)
    return command.model_copy(update={"idempotency_key": key})

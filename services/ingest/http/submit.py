"""POST /batches: a command as JSON, or a file of items as NDJSON or CSV."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import StringConstraints, ValidationError
from pydantic_core import to_json

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.templates import TemplateRun
from batchyard_contracts.v1.values import Priority, Reuse, Terms, WorkloadName
from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.direct_route import DirectRoute
from services.ingest.http.labels import labels_of
from services.ingest.http.openapi import file_body, idempotency_key_header, json_body, problem_responses
from services.ingest.persistence.workload_registry import RegisteredWorkload

Text = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]

SubmissionT = TypeVar("SubmissionT", BatchSubmit, TemplateRun)
_OPTIONS = Terms.model_fields.keys() | Reuse.model_fields.keys() | {"follow_ups"}
_CONFLICTING_KEYS = Rejection(
    "invalid_command", "The header Idempotency-Key and the field idempotency_key differ. Send only one."
)
NO_WORKLOAD = Rejection("invalid_request", "An upload needs the query parameter `workload`.")
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
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    body.JSON: json_body("BatchSubmit", _EXAMPLE),
                    body.NDJSON: file_body("One payload, or one `{payload, custom_id}`, per line.", '{"url": "…"}\n'),
                    body.CSV: file_body("A header with the fields of the payload, then one item per row.", "url\n…\n"),
                },
            },
            "parameters": [idempotency_key_header()],
        },
    )
    async def submit(
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        workload: Annotated[WorkloadName | None, Query(description="for an upload")] = None,
        priority: Annotated[Priority, Query(description="for an upload")] = "normal",
        name: Annotated[
            str | None, Query(description="for an upload", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
        ] = None,
        label: Annotated[tuple[Text, ...], Query(description="for an upload: `key=value`")] = (),
        notify_webhook: Annotated[tuple[Text, ...], Query(description="for an upload: a URL")] = (),
        batch_id: Annotated[
            UUID | None,
            Query(description="for an upload: the id of the new batch (UUIDv7), for queries before the response"),
        ] = None,
        notify_email: Annotated[tuple[Text, ...], Query(description="for an upload: an address")] = (),
        options: Annotated[
            str | None,
            Query(
                description="for an upload: terms, reuse options and `follow_ups`, as a JSON object with fields of "
                "BatchSubmit, such as `deadline`, `rate`, `failure_threshold`, `cache`, `dedup`",
                max_length=20_000,
                examples=['{"deadline": "2030-01-01T00:00:00Z", "cache": "refresh"}'],
            ),
        ] = None,
    ) -> Response:
        """Submit a batch.

        The response is sent once the batch is durable. A file may have any length, and is validated while it arrives.
        Up to 10,000 items and 4 MiB it is accepted or rejected as a whole. A longer one becomes an open batch whose
        first items run while the rest arrives. If the upload is interrupted, or a later line is invalid, the batch
        keeps its items; sending the same items again under the same Idempotency-Key continues where it stopped.
        """
        kind = body.media_type(request, body.JSON, body.NDJSON, body.CSV)
        key = body.idempotency_key(request)
        if kind == body.JSON:
            command = cast("BatchSubmit", body.decode(await body.read_bytes(request), BatchSubmit))
            accepted = await service.submitter.submit(owner, with_idempotency_key(command, key))
        elif workload is None:
            raise IngestError(NO_WORKLOAD)
        else:
            fields = {
                "workload": workload,
                "priority": priority,
                "name": name,
                "batch_id": batch_id,
                "idempotency_key": key,
                "notify": {"webhooks": notify_webhook, "emails": notify_email},
            }
            command = command_from_query(fields, label, options)
            accepted = await service.uploads.receive(owner, kind, command, reader_of(kind), body.chunks(request))
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


def command_from_query(fields: dict[str, Any], labels: Sequence[str], options: str | None) -> BatchSubmit:
    """Return the command that the query parameters of an upload describe, without items."""
    fields["labels"] = labels_of(labels)
    try:
        return BatchSubmit.decode(to_json(fields | _options(options)))
    except ValidationError as error:
        raise IngestError(rejection_of(error)) from error


def _options(text: str | None) -> dict[str, Any]:
    try:
        options = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise IngestError(Rejection("invalid_request", f"The parameter `options` is not JSON: {error}")) from error
    if not isinstance(options, dict) or (unknown := sorted(options.keys() - _OPTIONS)):
        known = ", ".join(sorted(_OPTIONS))
        problem = f"{unknown[0][:50]!r} is not among them" if isinstance(options, dict) else "this is not one"
        raise IngestError(
            Rejection("invalid_request", f"The parameter `options` is a JSON object of {known}; {problem}.")
        )
    return options


def reader_of(media_type: str) -> Callable[[RegisteredWorkload], CsvReader | NdjsonReader]:
    """Return the reader of a file of this media type, for a workload."""
    return _csv if media_type == body.CSV else _ndjson


def _csv(workload: RegisteredWorkload) -> CsvReader:
    return CsvReader(workload.manifest.item_schema)


def _ndjson(workload: RegisteredWorkload) -> NdjsonReader:
    return NdjsonReader(workload.manifest.item_schema)

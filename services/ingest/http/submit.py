"""POST /batches: a command as JSON, or a file of items as NDJSON or CSV."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import StringConstraints, ValidationError

from batchyard_contracts.v1.commands import BatchSubmit, CommandAccepted
from batchyard_contracts.v1.values import Priority, Reuse, Terms, WorkloadName
from services.ingest.api.invalid_command import fault_of
from services.ingest.api.service import Door
from services.ingest.domain.fault import Fault
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.refused import Refused
from services.ingest.http import body
from services.ingest.http.openapi import file_body, json_body, problem_responses
from services.ingest.persistence.workload_registry import Announced

Text = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]

_OPTIONS = Terms.model_fields.keys() | Reuse.model_fields.keys()
_TWO_KEYS = Fault("invalid_command", "The header Idempotency-Key and the field idempotency_key differ. Send one.")
_NO_WORKLOAD = Fault("invalid_request", "A file of items needs the query parameter `workload`.")
_EXAMPLE: dict[str, Any] = {
    "workload": "tracklists",
    "name": "friday sets",
    "items": [{"payload": {"url": "https://www.1001tracklists.com/tracklist/9demo123/x.html"}, "custom_id": "row-1"}],
}


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The route, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["batches"])

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
                    body.NDJSON: file_body("One payload, or one `{payload, custom_id}`, a line.", '{"url": "…"}\n'),
                    body.CSV: file_body("A header with the payload's fields, then one item a row.", "url\n…\n"),
                },
            },
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                    "description": "The same key with the same body is the same batch; with another it is an error.",
                }
            ],
        },
    )
    async def submit(
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        workload: Annotated[WorkloadName | None, Query(description="of a file of items")] = None,
        priority: Annotated[Priority, Query(description="of a file of items")] = "normal",
        name: Annotated[
            str | None, Query(description="of a file of items", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
        ] = None,
        label: Annotated[tuple[Text, ...], Query(description="of a file of items: `key=value`")] = (),
        notify_webhook: Annotated[tuple[Text, ...], Query(description="of a file of items: a URL")] = (),
        batch_id: Annotated[
            UUID | None, Query(description="of a file of items: the id it is to have, for asking early (UUIDv7)")
        ] = None,
        notify_email: Annotated[tuple[Text, ...], Query(description="of a file of items: an address")] = (),
        options: Annotated[
            str | None,
            Query(
                description="of a file of items: its terms and what it may reuse, as a JSON object of fields of "
                "BatchSubmit, such as `deadline`, `rate`, `failure_threshold`, `cache`, `dedup`",
                max_length=20_000,
                examples=['{"deadline": "2030-01-01T00:00:00Z", "cache": "refresh"}'],
            ),
        ] = None,
    ) -> Response:
        """Start a batch.

        The answer comes when the batch is durable. A file may have any length and is checked while it arrives. Up to
        10,000 items and 4 MiB it is taken whole, or refused whole if a line is wrong. A longer one becomes an open
        batch whose first items run while the rest comes in. If it breaks off, or a later line is wrong, the batch
        keeps what it has; the same items again under the same Idempotency-Key go on where it stopped.
        """
        kind = body.media_type(request, body.JSON, body.NDJSON, body.CSV)
        key = body.idempotency_key(request)
        if kind == body.JSON:
            command = cast("BatchSubmit", body.decode(await body.read_bytes(request), BatchSubmit))
            accepted = await door.submissions.submit(owner, _keyed(command, key))
        elif workload is None:
            raise Refused(_NO_WORKLOAD)
        else:
            said = {
                "workload": workload,
                "priority": priority,
                "name": name,
                "batch_id": batch_id,
                "idempotency_key": key,
                "notify": {"webhooks": notify_webhook, "emails": notify_email},
            }
            command = _said_of_file(said, label, options)
            reader = _csv if kind == body.CSV else _ndjson
            accepted = await door.uploads.receive(owner, kind, command, reader, body.chunks(request))
        location = f"{request.url.path}/{accepted.batch_id}"
        return Response(accepted.encode(), 202, {"Location": location}, body.JSON)

    return router


def _keyed(command: BatchSubmit, key: str | None) -> BatchSubmit:
    if key is None or key == command.idempotency_key:
        return command
    if command.idempotency_key is not None:
        raise Refused(_TWO_KEYS)
    return command.model_copy(update={"idempotency_key": key})


def _said_of_file(said: dict[str, Any], labels: Sequence[str], options: str | None) -> BatchSubmit:
    """The command that the query of an upload stands for, but for its items."""
    if wrong := [text for text in labels if "=" not in text]:
        raise Refused(Fault("invalid_request", f"The label {wrong[0]!r} has no value. Write it as key=value."))
    said["labels"] = {key: value for key, _, value in (text.partition("=") for text in labels)}
    try:
        return BatchSubmit.model_validate(said | _options(options))
    except ValidationError as error:
        raise Refused(fault_of(error)) from error


def _options(text: str | None) -> dict[str, Any]:
    try:
        options = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise Refused(Fault("invalid_request", f"The parameter `options` is not JSON: {error}")) from error
    if not isinstance(options, dict) or (unknown := sorted(options.keys() - _OPTIONS)):
        known = ", ".join(sorted(_OPTIONS))
        what = f"{unknown[0][:50]!r} is not among them" if isinstance(options, dict) else "it is none"
        raise Refused(Fault("invalid_request", f"The parameter `options` is a JSON object of {known}; {what}."))
    return options


def _csv(announced: Announced) -> CsvReader:
    return CsvReader(announced.manifest.item_schema)


def _ndjson(_: Announced) -> NdjsonReader:
    return NdjsonReader()

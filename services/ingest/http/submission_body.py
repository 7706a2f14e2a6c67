"""Reads submissions: a command as JSON, or a file of items as NDJSON or CSV whose command is in the query."""

from collections.abc import Callable
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
from fastapi import Query, Request
from pydantic import StringConstraints, ValidationError
from pydantic_core import to_json

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import Priority, Reuse, Terms, WorkloadName
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.labels import labels_of
from services.ingest.http.openapi import file_body, json_body
from services.ingest.persistence.workload_registry import RegisteredWorkload
from services.ingest.submission.item_file import ItemFile

Text = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]

_OPTIONS = Terms.model_fields.keys() | Reuse.model_fields.keys() | {"follow_ups", "metadata"}
_NO_WORKLOAD = Rejection("invalid_request", "An upload needs the query parameter `workload`.")


class UploadQuery:
    """Parameters of an upload, which stand for the command of its batch."""

    def __init__(
        self,
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
                description="for an upload: terms, reuse options, `metadata` and `follow_ups`, as a JSON "
                "object with fields of BatchSubmit, such as `deadline`, `rate`, `failure_threshold`, `cache`, `dedup`",
                max_length=20_000,
                examples=['{"deadline": "2030-01-01T00:00:00Z", "cache": "refresh"}'],
            ),
        ] = None,
    ) -> None:
        self._workload, self._labels, self._options = workload, label, options
        self._fields = {
            "workload": workload,
            "priority": priority,
            "name": name,
            "batch_id": batch_id,
            "notify": {"webhooks": notify_webhook, "emails": notify_email},
        }

    def command(self, key: str | None) -> BatchSubmit:
        """Return the command, without items; raises `IngestError`."""
        if self._workload is None:
            raise IngestError(_NO_WORKLOAD)
        fields = self._fields | {"idempotency_key": key, "labels": labels_of(self._labels)}
        try:
            return BatchSubmit.decode(to_json(fields | _options(self._options)))
        except ValidationError as error:
            raise IngestError(rejection_of(error)) from error


async def read_submission(request: Request, query: UploadQuery, key: str | None = None) -> BatchSubmit | ItemFile:
    """Read a command, or begin to read a file, whose command gets the idempotency key; raises `IngestError`."""
    kind = body.media_type(request, body.JSON, body.NDJSON, body.CSV)
    if kind == body.JSON:
        return cast("BatchSubmit", body.decode(await body.read_bytes(request), BatchSubmit))
    return ItemFile(query.command(key), kind, _reader_of(kind), body.chunks(request))


def submission_body(example: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a body that is a submission."""
    content = {
        body.JSON: json_body("BatchSubmit", example),
        body.NDJSON: file_body("One payload, or one `{payload, custom_id}`, per line.", '{"url": "…"}\n'),
        body.CSV: file_body("A header with the fields of the payload, then one item per row.", "url\n…\n"),
    }
    return {"requestBody": {"required": True, "content": content}}


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


def _reader_of(media_type: str) -> Callable[[RegisteredWorkload], CsvReader | NdjsonReader]:
    reader = CsvReader if media_type == body.CSV else NdjsonReader
    return lambda workload: reader(workload.manifest.item_schema)

"""GET /batches/{id}/results: outcomes in all export formats, streamed."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import Cursor
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, Cause, ErrorCode, TerminalStatus
from services.ingest.api.service import IngestService
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.exports.csv import csv_table
from services.ingest.exports.ndjson import json_array, ndjson_lines
from services.ingest.exports.records import records_csv, records_ndjson
from services.ingest.exports.zip import MAX_ARCHIVE_ITEMS, texts_zip
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.openapi import problem_responses
from services.ingest.queries.result_page import ResultPage
from services.ingest.queries.result_reader import ResultSelection, next_after, read_results

_FILES = {"json": body.JSON, "ndjson": body.NDJSON, "csv": f"{body.CSV}; charset=utf-8"}
_RECORDS = {"records": (records_ndjson, body.NDJSON, "ndjson"), "records-csv": (records_csv, _FILES["csv"], "csv")}
_DESCRIPTION = (
    "`json`, `ndjson`, `csv`; for results with records also `records` and `records-csv`: each record once, as NDJSON "
    "or CSV; or an export of the workload (`GET /workloads/{name}`), such as `cue`: a ZIP archive with one file per "
    "text"
)


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    owner_of = access.any_owner("results:read", others=("operate", "payloads:read"))
    router = APIRouter(tags=["results"])

    @router.get(
        "/batches/{batch_id}/results",
        summary="Results of a batch",
        response_class=Response,
        responses={
            200: {
                "description": "Outcomes known so far, in the order of the items",
                "headers": {
                    "Link": {
                        "schema": {"type": "string"},
                        "description": 'with `limit`: the address of the next page (`rel="next"`), if there is one',
                    }
                },
                "content": {
                    body.JSON: {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/ItemResult"}}},
                    body.NDJSON: {"schema": {"type": "string"}},
                    body.CSV: {"schema": {"type": "string"}},
                    "application/zip": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **problem_responses(401, 404, 422, 502, 503, 504),
        },
    )
    async def results(
        batch_id: UUID,
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        export_format: Annotated[str, Query(alias="format", description=_DESCRIPTION, max_length=64)] = "json",
        status: TerminalStatus | None = None,
        error_code: ErrorCode | None = None,
        cause: Annotated[Cause | None, Query(description="cause of the failure, as `failures` names it")] = None,
        after: Annotated[Cursor, Query(description="ordinal after which the page starts")] = -1,
        limit: Annotated[
            int | None, Query(ge=1, le=MAX_ITEMS_PER_BATCH, description="largest number of outcomes; absent: all")
        ] = None,
    ) -> Response:
        """Outcomes of a batch. While it runs, those known so far."""
        header = await service.header(owner, batch_id)
        manifest = (await service.registry.get(header.workload)).manifest
        _check_format(export_format, manifest, header, limit)
        selection = ResultSelection(owner, batch_id, status, error_code, after, limit, cause)
        pages = read_results(service.aggregator, selection)
        first = await anext(pages)
        chunks, media_type, suffix = _encode(export_format, manifest, header, _chain(first, pages))
        headers = {"Content-Disposition": f'attachment; filename="{batch_id}.{suffix}"'}
        if (cursor := await next_after(service.aggregator, selection, first)) is not None:
            next_url = request.url.include_query_params(after=cursor)
            headers["Link"] = f'<{next_url.path}?{next_url.query}>; rel="next"'
        return StreamingResponse(chunks, headers=headers, media_type=media_type)

    return router


def _check_format(export_format: str, manifest: Manifest, header: BatchHeader, limit: int | None) -> None:
    if export_format in _FILES or (export_format in _RECORDS and manifest.records):
        return
    if export_format not in manifest.exports:
        known = ", ".join((*_FILES, *(_RECORDS if manifest.records else ()), *manifest.exports))
        raise IngestError(
            Rejection("unknown_format", f"{manifest.name} has no format {export_format!r}. Known: {known}.")
        )
    if min(header.items, limit or header.items) > MAX_ARCHIVE_ITEMS:
        detail = (
            f"An archive has at most {MAX_ARCHIVE_ITEMS} items. Request parts of the batch with `after` and `limit`."
        )
        raise IngestError(Rejection("archive_too_large", detail))


def _encode(
    export_format: str, manifest: Manifest, header: BatchHeader, pages: AsyncIterator[ResultPage]
) -> tuple[AsyncIterator[bytes], str, str]:
    """Return the chunks of the response, its media type, and its file suffix."""
    if export_format == "csv":
        return csv_table(pages, manifest.result_schema), _FILES[export_format], export_format
    if export_format in _RECORDS and manifest.records:
        encode, media_type, suffix = _RECORDS[export_format]
        return encode(pages, manifest.records), media_type, suffix
    if export_format in _FILES:
        return (json_array if export_format == "json" else ndjson_lines)(pages), _FILES[export_format], export_format
    return (
        texts_zip(pages, manifest.exports[export_format], header.accepted_at),
        "application/zip",
        f"{export_format}.zip",
    )


async def _chain(first: ResultPage, rest: AsyncIterator[ResultPage]) -> AsyncIterator[ResultPage]:
    yield first
    async for page in rest:
        yield page

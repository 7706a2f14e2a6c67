"""GET /batches/{id}/results: outcomes in all export formats, streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from batchyard_contracts.v1.manifest import Manifest
from services.ingest.api.service import IngestService
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.exports.csv import csv_table
from services.ingest.exports.ndjson import followed_lines, json_array, ndjson_lines
from services.ingest.exports.parquet import check_parquet, parquet_file
from services.ingest.exports.records import records_csv, records_ndjson
from services.ingest.exports.zip import MAX_ARCHIVE_ITEMS, texts_zip
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.chained import chain
from services.ingest.http.openapi import problem_responses
from services.ingest.http.result_query import ResultQuery
from services.ingest.queries.result_page import ResultPage, StreamedPage
from services.ingest.queries.result_reader import abandon, next_after, read_results
from services.ingest.queries.result_stream import ResultStream, StreamSelection

_PARQUET = "application/vnd.apache.parquet"
_FILES = {"parquet": _PARQUET, "json": body.JSON, "ndjson": body.NDJSON, "csv": f"{body.CSV}; charset=utf-8"}
_RECORDS = {"records": (records_ndjson, body.NDJSON, "ndjson"), "records-csv": (records_csv, _FILES["csv"], "csv")}
_DESCRIPTION = (
    "`json`, `ndjson`, `csv`, `parquet`; for results with records also `records` and `records-csv`: each record once, "
    "as NDJSON or CSV; or an export of the workload (`GET /workloads/{name}`), such as `cue`: a ZIP archive with one "
    "file per text"
)

_TOO_MANY_FOLLOWERS = Rejection(
    "too_many_websockets", "The limit of open streams is reached. Read the results without `follow`, or try again.", 503
)
_KEY_HAS_ENDED = Rejection("unauthorized", "The API key or session has ended. Send another one.", 401)


def routes(service: IngestService, access: Access, max_websockets: int) -> APIRouter:
    """Return the route. Streams that follow a batch count as WebSockets."""
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
                    _PARQUET: {"schema": {"type": "string", "format": "binary"}},
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
        query: Annotated[ResultQuery, Depends()],
        export_format: Annotated[str, Query(alias="format", description=_DESCRIPTION, max_length=64)] = "json",
    ) -> Response:
        """Outcomes of a batch. While it runs, those known so far; with `follow` also those to come.

        With `follow`, `order`, `cursor`, `custom_id` or `round`, each outcome has a `cursor`: after a lost connection,
        send the last one that you have. The outcomes after it follow, without a gap and without a repetition.
        """
        header = await service.header(owner, batch_id)
        manifest = (await service.registry.get(header.workload)).manifest
        _check_format(export_format, manifest, header, query.limit)
        if query.follow:
            if export_format != "ndjson":
                raise IngestError(Rejection("invalid_request", "`follow` goes with `format=ndjson` alone."))
            followed = _followed(service, access, request, query.stream(owner, batch_id), max_websockets)
            lines = followed_lines(chain(await anext(followed), followed))
            return StreamingResponse(lines, headers={"X-Accel-Buffering": "no"}, media_type=body.NDJSON)
        headers: dict[str, str] = {}
        if query.is_stream:
            pages: AsyncIterator[ResultPage] = ResultStream(service.aggregator, query.stream(owner, batch_id)).pages()
            first = await anext(pages)
        else:
            selection = query.selection(owner, batch_id)
            pages = read_results(service.aggregator, selection)
            first = await anext(pages)
            if (cursor := await next_after(service.aggregator, selection, first)) is not None:
                next_url = request.url.include_query_params(after=cursor)
                headers["Link"] = f'<{next_url.path}?{next_url.query}>; rel="next"'
        chunks, media_type, suffix = _encode(export_format, manifest, header, chain(first, pages))
        headers["Content-Disposition"] = f'attachment; filename="{batch_id}.{suffix}"'
        return StreamingResponse(chunks, headers=headers, media_type=media_type)

    return router


async def _followed(
    service: IngestService, access: Access, request: Request, selection: StreamSelection, max_websockets: int
) -> AsyncIterator[StreamedPage]:
    """Yield the pages of a batch until it has ended. Raises `IngestError`, also when the client's key ends."""
    hub = service.progress_hub
    with access.limits.websocket(selection.owner):
        if hub.watcher_count >= max_websockets:
            raise IngestError(_TOO_MANY_FOLLOWERS)
        async with hub.watch(selection.owner, selection.batch_id) as progress:
            pages = ResultStream(service.aggregator, selection, progress).pages()
            allowed = asyncio.create_task(access.wait_until_ended(request))
            try:
                while (page := await _next_page(pages, allowed)) is not None:
                    yield page
            finally:
                await abandon(allowed)


async def _next_page(pages: AsyncIterator[StreamedPage], allowed: asyncio.Task[None]) -> StreamedPage | None:
    coming = asyncio.ensure_future(anext(pages, None))
    try:
        await asyncio.wait({coming, allowed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not coming.done():
            await abandon(coming)
    if coming.cancelled():
        raise IngestError(_KEY_HAS_ENDED)
    return coming.result()


def _check_format(export_format: str, manifest: Manifest, header: BatchHeader, limit: int | None) -> None:
    if export_format == "parquet":
        check_parquet()
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
    if export_format == "parquet":
        return parquet_file(pages, manifest.result_schema), _PARQUET, export_format
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

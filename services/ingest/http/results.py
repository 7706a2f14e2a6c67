"""GET /batches/{id}/results: outcomes in every form, streamed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, ErrorCode, TerminalStatus
from services.ingest.api.service import Door
from services.ingest.domain.batch import Header
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused
from services.ingest.exports.csv import table
from services.ingest.exports.ndjson import json_array, ndjson
from services.ingest.exports.records import records_lines, records_table
from services.ingest.exports.zip import MAX_FILES_FROM, texts_zip
from services.ingest.http import body
from services.ingest.http.openapi import problem_responses
from services.ingest.queries.result_reader import Page, Selection, read

_FILES = {"json": body.JSON, "ndjson": body.NDJSON, "csv": f"{body.CSV}; charset=utf-8"}
_RECORDS = {"records": (records_lines, body.NDJSON, "ndjson"), "records-csv": (records_table, _FILES["csv"], "csv")}
_DESCRIPTION = (
    "`json`, `ndjson`, `csv`; where results list records also `records` and `records-csv`: these, each once, as NDJSON "
    "and CSV; or an export that the workload names (`GET /workloads/{name}`), such as `cue`: a ZIP with a file for "
    "each text"
)


def routes(door: Door, owner_of: Callable[..., Awaitable[str]]) -> APIRouter:
    """The route, for owners as `owner_of` tells them."""
    router = APIRouter(tags=["results"])

    @router.get(
        "/batches/{batch_id}/results",
        summary="Results of a batch",
        response_class=Response,
        responses={
            200: {
                "description": "The outcomes known now, in the order of the items",
                "headers": {
                    "Link": {
                        "schema": {"type": "string"},
                        "description": 'with `limit`, when there are more: where the next ones are (`rel="next"`)',
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
        form: Annotated[str, Query(alias="format", description=_DESCRIPTION, max_length=64)] = "json",
        status: TerminalStatus | None = None,
        error_code: ErrorCode | None = None,
        after: Annotated[int, Query(ge=-1, description="an ordinal: begin with the next one")] = -1,
        limit: Annotated[int | None, Query(ge=1, le=MAX_ITEMS_PER_BATCH, description="absent: all")] = None,
    ) -> Response:
        """Outcomes, also of a batch that still runs: then those known so far."""
        header = await door.header(owner, batch_id)
        manifest = (await door.registry.get(header.workload)).manifest
        _check_form(form, manifest, header, limit)
        pages = read(door.ledger, Selection(owner, batch_id, status, error_code, after, limit))
        first = await anext(pages)
        pieces, media_type, suffix = _encode(form, manifest, header, _joined(first, pages))
        headers = {"Content-Disposition": f'attachment; filename="{batch_id}.{suffix}"'}
        if limit is not None and len(first.items) == limit and first.next_after is not None:
            following = request.url.include_query_params(after=first.next_after)
            headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
        return StreamingResponse(pieces, headers=headers, media_type=media_type)

    return router


def _check_form(form: str, manifest: Manifest, header: Header, limit: int | None) -> None:
    if form in _FILES or (form in _RECORDS and manifest.records):
        return
    if form not in manifest.exports:
        known = ", ".join((*_FILES, *(_RECORDS if manifest.records else ()), *manifest.exports))
        raise Refused(Fault("unknown_format", f"There is no format {form!r} of {manifest.name}. Known: {known}."))
    if min(header.items, limit or header.items) > MAX_FILES_FROM:
        detail = f"One archive takes {MAX_FILES_FROM} items. Ask for parts of the batch with `after` and `limit`."
        raise Refused(Fault("archive_too_large", detail))


def _encode(
    form: str, manifest: Manifest, header: Header, pages: AsyncIterator[Page]
) -> tuple[AsyncIterator[bytes], str, str]:
    """The pieces of the answer, its media type, and the suffix of a file that holds it."""
    if form == "csv":
        return table(pages, manifest.result_schema), _FILES[form], form
    if form in _RECORDS and manifest.records:
        write, media_type, suffix = _RECORDS[form]
        return write(pages, manifest.records), media_type, suffix
    if form in _FILES:
        return (json_array if form == "json" else ndjson)(pages), _FILES[form], form
    return texts_zip(pages, manifest.exports[form], header.accepted_at), "application/zip", f"{form}.zip"


async def _joined(first: Page, rest: AsyncIterator[Page]) -> AsyncIterator[Page]:
    yield first
    async for page in rest:
        yield page

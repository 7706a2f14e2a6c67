"""Routes of exports: results as files with a manifest, written in the background."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from services.ingest.api.service import IngestService
from services.ingest.domain.byte_range import RangeNotSatisfiable, byte_range
from services.ingest.domain.export_job import ExportForm, ExportFormat, ExportJob, ExportPart
from services.ingest.domain.precondition import is_unchanged
from services.ingest.domain.rejection import Rejection
from services.ingest.export_jobs.export_manager import ExportFile, ExportManager
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.chained import chain
from services.ingest.http.conditions import IfNoneMatch
from services.ingest.http.json_response import json_response
from services.ingest.http.models import ExportRequest
from services.ingest.http.openapi import (
    BODY_STATUSES,
    READ_STATUSES,
    idempotency_key_header,
    problem_responses,
    request_body,
)
from services.ingest.http.problems import problem_response

_MAX_HEADER = 200
_FileName = Annotated[
    str, Path(max_length=40, pattern=r"^[a-z0-9][a-z0-9.-]*$", description="name of a part, or `manifest.json`")
]
_NOT_SATISFIABLE = Rejection("range_not_satisfiable", "The range begins behind the end of the file.", 416)
_FILE_HEADERS: dict[str, Any] = {
    "ETag": {"description": "the SHA-256 of the file", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`", "schema": {"type": "string"}},
    "Repr-Digest": {"description": "SHA-256 of the whole file (RFC 9530)", "schema": {"type": "string"}},
}
_CONTENT: dict[str, Any] = {
    "headers": _FILE_HEADERS,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


class ExportView(BaseModel):
    """An export, and how far it is."""

    id: UUID
    batch_id: UUID
    state: Literal["running", "succeeded", "failed"]
    format: ExportFormat
    round: int | None = Field(None, description="round whose outcomes it has")
    complete: bool | None = Field(
        None, description="true: it has all outcomes of a round that had ended; absent while it runs"
    )
    rows: int = Field(description="outcomes so far")
    counts: dict[str, int] = Field(description="outcomes so far, by status")
    parts: list[ExportPart] = Field(description="files so far, in the order of their outcomes")
    manifest_sha256: str | None = Field(None, description="SHA-256 of `manifest.json`; absent until it is written")
    error: str | None = Field(None, description="reason for which it failed")
    created_at: datetime
    ended_at: datetime | None = None


class ExportList(BaseModel):
    """Exports of a batch, the newest first."""

    exports: list[ExportView]


def routes(service: IngestService, manager: ExportManager, access: Access) -> APIRouter:
    """Return the routes."""
    owner_of = access.any_owner("results:read", others=("operate", "payloads:read"))
    owner_to_change = access.any_owner("batches:write")
    router = APIRouter(tags=["exports"])

    @router.post(
        "/batches/{batch_id}/exports",
        status_code=202,
        summary="Export the results of a batch as files",
        response_model=ExportView,
        responses=problem_responses(*sorted({*READ_STATUSES, *BODY_STATUSES, 409, 429})),
        openapi_extra={
            **request_body("ExportRequest", {"format": "parquet"}),
            "parameters": [idempotency_key_header()],
        },
    )
    async def begin(batch_id: UUID, request: Request, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """Write the results into files of about 64 MiB of JSON each, with a manifest that has their number, digests and
        counts. It runs in the background; the files can be fetched as soon as they are there."""
        data = cast("ExportRequest", await body.read_message(request, ExportRequest))
        await service.header(owner, batch_id)
        form = ExportForm.model_validate(data.model_dump(include=set(ExportForm.model_fields)))
        job = await manager.begin(owner, batch_id, form, body.idempotency_key(request))
        return json_response(_view(job), 202)

    @router.get(
        "/batches/{batch_id}/exports",
        summary="List the exports of a batch",
        response_model=ExportList,
        responses=problem_responses(*READ_STATUSES),
    )
    async def list_all(batch_id: UUID, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """The exports of a batch, the newest first."""
        await service.header(owner, batch_id)
        return json_response(ExportList(exports=[_view(job) for job in await manager.of_batch(owner, batch_id)]))

    @router.get(
        "/batches/{batch_id}/exports/{export_id}",
        summary="Show an export",
        response_model=ExportView,
        responses=problem_responses(*READ_STATUSES),
    )
    async def show(batch_id: UUID, export_id: UUID, owner: Annotated[str, Depends(owner_of)]) -> Response:
        """An export, and the files that it has so far."""
        await service.header(owner, batch_id)
        return json_response(_view(await manager.get(owner, batch_id, export_id)))

    @router.delete(
        "/batches/{batch_id}/exports/{export_id}",
        status_code=204,
        summary="Delete an export",
        responses=problem_responses(*READ_STATUSES),
    )
    async def delete(batch_id: UUID, export_id: UUID, owner: Annotated[str, Depends(owner_to_change)]) -> Response:
        """Delete an export with its files. One that runs ends. Results that were deleted since may be nowhere else."""
        await service.header(owner, batch_id)
        await manager.delete(await manager.get(owner, batch_id, export_id))
        return Response(status_code=204)

    @router.get(
        "/batches/{batch_id}/exports/{export_id}/files/{name}",
        summary="Fetch a file of an export",
        response_class=Response,
        responses={
            200: {"description": "The file", **_CONTENT},
            206: {"description": "The part of the file that `Range` names", **_CONTENT},
            304: {"description": "The file has an entity tag of `If-None-Match`"},
            **problem_responses(*READ_STATUSES, 416),
        },
    )
    async def fetch(
        batch_id: UUID,
        export_id: UUID,
        name: _FileName,
        request: Request,
        owner: Annotated[str, Depends(owner_of)],
        if_none_match: IfNoneMatch = None,
        range_: Annotated[
            str | None, Header(alias="Range", max_length=_MAX_HEADER, description="`bytes=…`: a part of the file")
        ] = None,
        if_range: Annotated[
            str | None,
            Header(
                alias="If-Range",
                max_length=_MAX_HEADER,
                description="entity tag: if the file has another one, all of it is sent",
            ),
        ] = None,
    ) -> Response:
        """A file of an export, or a part of it, such as the rest after an interruption. Files never change."""
        await service.header(owner, batch_id)
        job = await manager.get(owner, batch_id, export_id)
        file = await manager.file(job, name)
        tag = f'"{file.sha256}"'
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
        if is_unchanged(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        try:
            asked = byte_range(range_, file.bytes) if if_range in {None, tag} else None
        except RangeNotSatisfiable:
            response = problem_response(_NOT_SATISFIABLE, request.url.path)
            response.headers["Content-Range"] = f"bytes */{file.bytes}"
            return response
        return await _file_response(manager, job, file, asked, headers)

    return router


async def _file_response(
    manager: ExportManager, job: ExportJob, file: ExportFile, asked: tuple[int, int] | None, headers: dict[str, str]
) -> Response:
    start, end = asked or (0, file.bytes)
    headers |= {
        "Content-Length": str(end - start),
        "Content-Disposition": f'attachment; filename="{job.batch_id}-{file.name}"',
        "Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(file.sha256)).decode()}:",
    }
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.bytes}"
    pieces = manager.read(file, start, end)
    first = await anext(pieces, b"")  # so that a store that is away is a problem document
    status = 200 if asked is None else 206
    return StreamingResponse(chain(first, pieces), status, headers, file.media_type)


def _view(job: ExportJob) -> ExportView:
    progress = job.progress
    return ExportView(
        id=job.export_id,
        batch_id=job.batch_id,
        state=job.state,
        format=job.form.format,
        round=job.form.round or (progress.round if progress.parts else None),
        complete=progress.is_complete,
        rows=sum(part.rows for part in progress.parts),
        counts=progress.counts,
        parts=progress.parts,
        manifest_sha256=progress.manifest_sha256,
        error=job.error,
        created_at=job.created_at,
        ended_at=job.ended_at,
    )

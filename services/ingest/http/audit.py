"""GET /audit: who changed what, for an owner its own things, for operators all."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from batchyard_contracts.v1.values import Owner, Time
from services.ingest.domain.caller import Caller
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.persistence.audit_log import NEWEST, AuditLog, AuditSelection

MAX_ENTRIES = 1000
_Word = Annotated[str | None, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AuditEntry(BaseModel):
    """One command that changed something, or one reading of what another owner has."""

    id: int
    at: datetime
    owner: str = Field(description="owner of what was changed or read; `*`: it concerns all owners")
    actor: str = Field(description="owner of the client")
    key_id: str | None = Field(None, description="API key of the client")
    door: Literal["http", "amqp", "service"]
    address: str | None = Field(None, description="network address of the client")
    trace: str | None = Field(None, description="trace of the request")
    action: str = Field(description="such as batch.submit, batch.cancel, key.revoke, rates.set, payloads.read")
    object: str = Field(description="id of a batch or key, name of a workload or queue")
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class AuditPage(BaseModel):
    """Entries, the newest first. `next_before` is the cursor of the next page; absent at the end."""

    entries: list[AuditEntry]
    next_before: int | None = None


def routes(audit: AuditLog, access: Access) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["audit"])

    @router.get(
        "/audit",
        summary="Show the audit",
        response_model=AuditPage,
        responses={
            200: {"description": "Entries, the newest first", "content": {body.NDJSON: {"schema": {"type": "string"}}}},
            **problem_responses(401, 403, 422, 503),
        },
    )
    async def show_audit(
        caller: Annotated[Caller, Depends(access.caller("keys:write"))],
        owner: Annotated[
            Owner | Literal["*"] | None,
            Query(description="for operators: one owner, or `*`: what concerns all; absent: every entry"),
        ] = None,
        actor: Annotated[Owner | None, Query(description="owner of the client")] = None,
        key_id: _Word = None,
        action: _Word = None,
        object_: Annotated[_Word, Query(alias="object", description="id of a batch or key, name of a queue")] = None,
        since: Time | None = None,
        until: Time | None = None,
        before: Annotated[int, Query(ge=1, le=NEWEST, description="`next_before` of the page before")] = NEWEST,
        limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = 100,
        export_format: Annotated[
            Literal["json", "ndjson"], Query(alias="format", description="`ndjson`: all entries, one a line")
        ] = "json",
    ) -> Response:
        """Commands that changed something, the newest first: who, what, before, after, from where, by which key. An
        owner sees what concerns its own things. There are no payloads and no secrets in it."""
        visible = owner if caller.is_operator else caller.owner
        selection = AuditSelection(visible, actor, key_id, action, object_, since, until)
        if export_format == "ndjson":
            headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
            return StreamingResponse(_lines(audit, selection, before), headers=headers, media_type=body.NDJSON)
        entries = [AuditEntry(**entry) for entry in await audit.page(selection, before, limit)]
        page = AuditPage(entries=entries, next_before=entries[-1].id if len(entries) == limit else None)
        return json_response(page)

    return router


async def _lines(audit: AuditLog, selection: AuditSelection, before: int) -> AsyncIterator[bytes]:
    while entries := await audit.page(selection, before, MAX_ENTRIES):
        lines = [{name: value for name, value in entry.items() if value is not None} for entry in entries]
        yield b"".join(orjson.dumps(line) + b"\n" for line in lines)
        before = entries[-1]["id"]

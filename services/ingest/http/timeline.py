"""GET /batches/{id}/timeline: what happened to a batch and to its destinations."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.queries import MAX_CHANGES, HistoryQuery
from batchyard_contracts.v1.values import Time
from services.ingest.api.service import IngestService
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ever import EVER
from services.ingest.domain.timeline import Kind, TimelineEntry, of_change, of_command, of_end, page_of
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.persistence.audit_log import AuditLog

_AFTER_END = timedelta(minutes=1)
"""Time after the end of a batch up to which changes of its destinations belong to it."""


class TimelineEntryView(BaseModel):
    """Something that happened to a batch, or to one of its destinations."""

    at: datetime
    kind: Kind
    round: int | None = None
    actor: str | None = Field(None, description="owner of the client that gave the command")
    door: str | None = Field(None, description="way by which the command came: http, amqp, or service")
    before: dict[str, Any] | None = Field(None, description="what was changed, as it was before")
    after: dict[str, Any] | None = Field(None, description="what was changed, as it is since; of a retry its selection")
    limit: str | None = Field(None, description="limit of the destination whose rate or circuit changed")
    partition: str | None = Field(None, description="destination, as `rates` names it")
    reason: str | None = Field(
        None, description="reason for the change, or for which an operator or a service ended the batch"
    )
    result: str | None = Field(None, description="how the round ended")


class Timeline(BaseModel):
    """Entries on what happened to a batch, the newest first."""

    entries: list[TimelineEntryView]
    next: datetime | None = Field(None, description="`before` of the next page; absent at the end")


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the route."""
    reader = access.any_owner("batches:read")
    router = APIRouter(tags=["batches"])

    @router.get(
        "/batches/{batch_id}/timeline",
        summary="What happened to a batch",
        response_model=Timeline,
        responses=problem_responses(401, 404, 422, 502, 503, 504),
    )
    async def timeline(
        batch_id: UUID,
        owner: Annotated[str, Depends(reader)],
        before: Annotated[Time, Query(description="`next` of the previous page, or any time")] = EVER,
        limit: Annotated[int, Query(ge=1, le=MAX_CHANGES)] = 50,
    ) -> Response:
        """The acceptance of a batch, the start of its latest round, commands with who gave them and what they changed,
        changes of the rates and circuits of its destinations while it ran, and its end; the newest first. Of each
        destination the newest 200 changes are kept."""
        header = await service.header(owner, batch_id)
        entries = await _entries(service, access.audit, header, before, limit)
        page, next_before = page_of(entries, before, limit)
        found = Timeline(
            entries=[TimelineEntryView.model_validate(entry, from_attributes=True) for entry in page], next=next_before
        )
        return json_response(found)

    return router


async def _entries(
    service: IngestService, audit: AuditLog, header: BatchHeader, before: datetime, limit: int
) -> Sequence[TimelineEntry]:
    """Return the newest entries of each source before a time: one more than a page holds, if there are so many."""
    state = await service.state(header.owner, header.batch_id)
    until = min(before, state.finished_at + _AFTER_END) if state.finished_at else before
    history = await service.aggregator.history(
        HistoryQuery(
            owner=header.owner,
            batch_id=header.batch_id,
            since=header.accepted_at,
            before=until,
            limit=min(limit + 1, MAX_CHANGES),
        )
    )
    commands = await audit.batch_commands(header.batch_id, before, limit=limit + 1)
    submission = await audit.submission_of(header.batch_id, header.accepted_at)
    entries = [TimelineEntry(header.accepted_at, "accepted", **submission), *of_end(state)]
    if history.started_at is not None:
        entries.append(TimelineEntry(history.started_at, "started", round=history.round))
    return [*entries, *map(of_command, commands), *map(of_change, history.changes)]

"""Routes of the items of a batch, also of those that have not ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, StringConstraints

from batchyard_contracts.v1.queries import Cursor
from batchyard_contracts.v1.values import MAX_ORDINALS, MAX_PARTITION_NAME, Cause, CustomId, ItemError
from services.ingest.api.service import IngestService
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.http import body
from services.ingest.http.access import Access, caller_of
from services.ingest.http.json_response import json_response
from services.ingest.http.labels import NO_CONTROLS
from services.ingest.http.openapi import problem_responses
from services.ingest.queries.item_reader import FoundItem, ItemSelection, holders_of, read_item, read_items, read_result

MAX_ITEMS = 200
"""Largest number of items on a page."""
UnendedState = Literal["waiting", "running", "retrying"]
EndedState = Literal["succeeded", "failed", "cancelled", "expired", "duplicate"]
_Partition = Annotated[str, StringConstraints(max_length=MAX_PARTITION_NAME, pattern=NO_CONTROLS)]


class ItemView(BaseModel):
    """Item of a batch, and what became of it so far."""

    ordinal: int
    custom_id: str | None = None
    state: Literal[UnendedState, EndedState, "in_transit"] = Field(
        description="`waiting` for its first run, `running` at a worker, `retrying`: it waits for another attempt, "
        "`in_transit` between two services, or how it ended"
    )
    partition: str | None = Field(None, description="destination; absent: not known, or the item is on its way")
    round: int | None = Field(None, description="round in which it ended")
    attempts: int = Field(0, description="attempts that were begun")
    since: datetime | None = Field(None, description="time at which it was sent to a worker")
    worker_id: str | None = Field(None, description="for operators: worker that holds it")
    retry_at: datetime | None = Field(None, description="time at which its next attempt is due")
    error: ItemError | None = Field(None, description="error of its last attempt")
    cause: str | None = Field(None, description="cause of its failure, as `failures` names it")
    duplicate_of: int | None = Field(None, description="ordinal of the item that runs in its place")
    duplicate_of_batch: UUID | None = Field(None, description="batch of that item; absent: this batch")
    elapsed_ms: int | None = Field(None, description="duration of its last attempt in milliseconds")
    cached: bool = Field(False, description="whether its result was known already")
    ended_at: datetime | None = Field(None, description="time at which its outcome was recorded")


class AttemptView(BaseModel):
    """Attempt of an item that failed, and that another one followed or was to follow."""

    round: int
    attempt: int
    error: ItemError
    elapsed_ms: int
    at: datetime


class ItemDetail(ItemView):
    """Item of a batch with its payload and its result."""

    payload: Any = Field(None, description="input as it would run now, patches of retries included; absent: deleted")
    result: Any = Field(None, description="result of an item that succeeded")
    failed_attempts: list[AttemptView] | None = Field(
        None, description="the last five attempts that failed and were to be repeated, the newest first"
    )


class ItemList(BaseModel):
    """Items in their order. A page may have fewer than `limit` although more follow."""

    items: list[ItemView]
    next: int | None = Field(None, description="`after` of the next page; absent at the end")


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    reader = access.any_owner("batches:read", others=("operate", "payloads:read"))
    detail_reader = access.any_owner("results:read", others=("operate", "payloads:read"))
    router = APIRouter(tags=["items"])

    @router.get(
        "/batches/{batch_id}/items",
        summary="Items of a batch",
        response_model=ItemList,
        responses=problem_responses(401, 404, 422, 502, 503, 504),
    )
    async def list_all(
        batch_id: UUID,
        request: Request,
        owner: Annotated[str, Depends(reader)],
        state: Annotated[UnendedState | EndedState | None, Query()] = None,
        cause: Annotated[Cause | None, Query(description="cause of the failure, as `failures` names it")] = None,
        partition: Annotated[_Partition | None, Query(description="destination")] = None,
        custom_id: Annotated[CustomId | None, Query(description="your id of the item")] = None,
        after: Annotated[Cursor, Query(description="`next` of the previous page, or any ordinal to begin after")] = -1,
        limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = 50,
    ) -> Response:
        """Items in the order of their ordinals, each with its state, also those that have not ended: whether one waits,
        since when it runs, or when it is tried again after which error. Payloads and results are with a single item."""
        await service.header(owner, batch_id)
        if cause is not None and state not in {None, "failed", "expired"}:
            raise IngestError(Rejection("invalid_request", "Only items that failed or expired have a `cause`."))
        selection = ItemSelection(owner, batch_id, state, cause, partition, custom_id, after, limit)
        page = await read_items(service.aggregator, selection)
        is_operator = caller_of(request).is_operator
        holders = await holders_of(service.aggregator, page.items) if is_operator else {}
        found = ItemList(items=[ItemView(**_fields(item, holders)) for item in page.items], next=page.next_after)
        return json_response(found)

    @router.get(
        "/batches/{batch_id}/items/{ordinal}",
        summary="One item of a batch",
        response_model=ItemDetail,
        responses=problem_responses(401, 404, 422, 502, 503, 504),
    )
    async def show(
        batch_id: UUID,
        ordinal: Annotated[int, Path(ge=0, lt=MAX_ORDINALS)],
        request: Request,
        owner: Annotated[str, Depends(detail_reader)],
    ) -> Response:
        """One item with its payload, its state, and its result if it succeeded."""
        header = await service.header(owner, batch_id)
        found = await read_item(service.aggregator, owner, batch_id, ordinal)
        if found.stored is None and found.outcome is None and ordinal >= header.items:
            raise IngestError(
                Rejection("item_not_found", f"The batch has no item {ordinal}: it has {header.items}.", 404)
            )
        holders = await holders_of(service.aggregator, [found]) if caller_of(request).is_operator else {}
        fields = _fields(found, holders)
        payload = found.stored.payload if found.stored else None
        failed = [AttemptView.model_validate(one, from_attributes=True) for one in found.attempts] or None
        detail = ItemDetail(**fields, payload=payload, failed_attempts=failed)
        shown = detail.model_dump(mode="json", exclude_none=True)
        if found.outcome is not None and found.outcome.status == "succeeded":
            result = await read_result(service.aggregator, owner, batch_id, ordinal)
            shown |= {} if result is None else {"result": orjson.Fragment(result)}
        return Response(orjson.dumps(shown), media_type=body.JSON)

    return router


def _fields(item: FoundItem, holders: Mapping[int, str]) -> dict[str, Any]:
    """Return the fields of an item; its outcome, which is newer, goes before what the dispatcher does with it."""
    stored, outcome = item.stored, item.outcome
    fields: dict[str, Any] = {"ordinal": item.ordinal, "partition": stored.partition if stored else None}
    if outcome is not None:
        names = (
            "custom_id",
            "round",
            "attempts",
            "error",
            "duplicate_of",
            "duplicate_of_batch",
            "elapsed_ms",
            "cached",
        )
        fields |= {name: getattr(outcome, name) for name in names}
        return fields | {"state": outcome.status, "cause": outcome.cause, "ended_at": outcome.recorded_at}
    if stored is None or stored.status is None:
        return fields | {"state": "in_transit", "custom_id": stored.custom_id if stored else None}
    kept = ("custom_id", "since", "retry_at", "error")
    fields |= {name: getattr(stored, name) for name in kept}
    begun = (stored.attempt or 1) - (0 if stored.status == "running" else 1)
    return fields | {
        "state": stored.status,
        "attempts": begun,
        "worker_id": holders.get(item.ordinal),
    }

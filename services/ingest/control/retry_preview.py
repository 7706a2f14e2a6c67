"""Previews a retry: the items that would run again, and their payloads."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from batchyard_contracts.v1.queries import MAX_PAGE, ItemsQuery, SelectionQuery, StoredItem
from batchyard_contracts.v1.values import Selection
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.limits import MAX_ITEM_BYTES
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from shared.json.patch import Patch, PatchError

MAX_SAMPLES = 3
MAX_INVALID = 10_000
"""Largest number of items that a retry may leave out because its patch does not apply to them."""
_INVALID_SHOWN = 100
_ITEM_DELETED = Rejection("item_deleted", "The item is no longer stored. Submit it again in a new batch.", 410)
_BATCH_CHANGED = Rejection(
    "conflict", "The batch has changed meanwhile. Check its state, and send the request again.", 409
)
TOO_MANY_UNFIT = Rejection(
    "too_many_invalid",
    f"The patch is not applicable to more than {MAX_INVALID} of these items. "
    "Select fewer, by cause, code, partition or ids.",
)


class RetrySample(BaseModel):
    """An item that would run again: its payload before and after the patch."""

    ordinal: int
    custom_id: str | None = None
    partition: str
    before: Any
    after: Any


class InvalidRetryItem(BaseModel):
    """A selected item that would not run again, and the reason."""

    ordinal: int
    custom_id: str | None = None
    code: str = Field(
        description="`patch_not_applicable`: the patch does not apply; otherwise the code of the validation error"
    )
    reason: str


class RetryPreview(BaseModel):
    """Effect of a retry that was not started."""

    round: Annotated[int, Field(description="latest round of the batch")]
    items: Annotated[int, Field(description="number of items that would run again")]
    invalid: Annotated[int, Field(description="number of selected items that would not run")] = 0
    samples: Annotated[list[RetrySample], Field(description=f"the first {MAX_SAMPLES} that would run again")] = []
    invalid_items: Annotated[
        list[InvalidRetryItem], Field(description=f"the first {_INVALID_SHOWN} that would not run again")
    ] = []
    invalid_ordinals: Annotated[list[int], Field(exclude=True)] = []


class RetryPreviewer:
    """Previews retries: asks the aggregator for the selected items and the dispatcher for their payloads, page by
    page."""

    def __init__(self, aggregator: AggregatorClient, registry: WorkloadRegistry) -> None:
        self._aggregator, self._registry = aggregator, registry

    async def preview(self, header: BatchHeader, select: Selection | None) -> RetryPreview:
        """Count the items that would run again; raises `IngestError` when there are none."""
        query = SelectionQuery(
            owner=header.owner, batch_id=header.batch_id, select=select, limit=MAX_SAMPLES, count=True
        )
        reply = await self._aggregator.selection(query)
        if not reply.count:
            raise IngestError(nothing_to_retry(select))
        first = await self._stored_items(header, reply.ordinals)
        samples = [
            RetrySample(
                ordinal=ordinal,
                custom_id=item.custom_id,
                partition=item.partition,
                before=item.payload,
                after=item.payload,
            )
            for ordinal, item in first.items()
        ]
        return RetryPreview(round=reply.round, items=reply.count, samples=samples)

    async def preview_patch(
        self, header: BatchHeader, select: Selection | None, operations: Sequence[Mapping[str, Any]]
    ) -> RetryPreview:
        """Apply a patch to each selected item, and validate the new payload. Raises `IngestError` when nothing is
        selected, or too many items become invalid."""
        validator = (await self._registry.get(header.workload)).validator
        try:
            patch = Patch(operations, MAX_ITEM_BYTES)
        except PatchError as error:
            detail = f"Not a JSON Patch (RFC 6902): {error}."
            raise IngestError(Rejection("invalid_patch", detail)) from error
        preview: RetryPreview | None = None
        async for round_, ordinals in self._selected(header, select):
            preview = preview or RetryPreview(round=round_, items=0)
            if round_ != preview.round:
                raise IngestError(_BATCH_CHANGED)
            stored = await self._stored_items(header, ordinals)
            for ordinal in ordinals:
                _add_item(preview, ordinal, stored.get(ordinal), patch, validator)
                await asyncio.sleep(0)  # an item may be large: other requests get a turn after each
        if preview is None:
            raise IngestError(nothing_to_retry(select))
        return preview

    async def _selected(
        self, header: BatchHeader, select: Selection | None
    ) -> AsyncIterator[tuple[int, Sequence[int]]]:
        after: int | None = -1
        while after is not None:
            query = SelectionQuery(owner=header.owner, batch_id=header.batch_id, select=select, after=after)
            reply = await self._aggregator.selection(query)
            for start in range(0, len(reply.ordinals), MAX_PAGE):
                yield reply.round, reply.ordinals[start : start + MAX_PAGE]
            after = reply.next_after

    async def _stored_items(self, header: BatchHeader, ordinals: Sequence[int]) -> dict[int, StoredItem]:
        """Return the items that the dispatcher still stores. A reply may hold only some of the items of its query."""
        found: dict[int, StoredItem] = {}
        pending = list(ordinals)
        while pending:
            query = ItemsQuery(owner=header.owner, batch_id=header.batch_id, ordinals=pending)
            reply = await self._aggregator.items(query)
            found |= {item.ordinal: item for item in reply.items}
            deleted = set(reply.gone)
            if not reply.items and not deleted:
                break
            pending = [ordinal for ordinal in pending if ordinal not in found and ordinal not in deleted]
        return found


def nothing_to_retry(select: Selection | None) -> Rejection:
    """Return the rejection of a retry that selects no item."""
    qualifier = "selected " if select else ""
    return Rejection(
        "nothing_to_retry",
        f"No {qualifier}item has failed, expired or been cancelled. `GET /api/v1/batches/{{batch_id}}/failures` and "
        "`batchyard failures` list the failures. An item whose call may have been paid for (needs_review) runs again "
        "only if it is named, for example by that code.",
        409,
    )


def _add_item(
    preview: RetryPreview, ordinal: int, item: StoredItem | None, patch: Patch, validator: ItemValidator
) -> None:
    """Add an item to the preview, as a sample or as invalid."""
    if item is None:
        _exclude(preview, ordinal, None, _ITEM_DELETED.code, _ITEM_DELETED.detail)
        return
    try:
        after = patch.apply(item.payload)
    except PatchError as error:
        _exclude(preview, ordinal, item, "patch_not_applicable", str(error))
        return
    rejection = validator.check(after, to_json(after))
    if rejection is not None:
        _exclude(preview, ordinal, item, rejection.code, rejection.detail)
        return
    preview.items += 1
    if len(preview.samples) < MAX_SAMPLES:
        partition = validator.partition(after)
        preview.samples.append(
            RetrySample(
                ordinal=ordinal, custom_id=item.custom_id, partition=partition, before=item.payload, after=after
            )
        )


def _exclude(preview: RetryPreview, ordinal: int, item: StoredItem | None, code: str, reason: str) -> None:
    if preview.invalid == MAX_INVALID:
        raise IngestError(TOO_MANY_UNFIT)
    preview.invalid += 1
    preview.invalid_ordinals.append(ordinal)
    if len(preview.invalid_items) < _INVALID_SHOWN:
        custom_id = item.custom_id if item else None
        preview.invalid_items.append(InvalidRetryItem(ordinal=ordinal, custom_id=custom_id, code=code, reason=reason))

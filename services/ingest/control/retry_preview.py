"""Tries a retry before it is asked for: which items would run again, and with which payloads."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from batchyard_contracts.v1.queries import MAX_PAGE, ItemsQuery, SelectionQuery, StoredItem
from batchyard_contracts.v1.values import Selection
from services.ingest.domain.batch import Header
from services.ingest.domain.fault import Fault
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.limits import MAX_ITEM_BYTES
from services.ingest.domain.refused import Refused
from services.ingest.persistence.workload_registry import Registry
from services.ingest.queries.aggregator_client import Ledger
from shared.json.patch import Patch, PatchError

SAMPLES = 3
MAX_INVALID = 10_000
"""Items that may be left out of a retry because its patch does not fit them."""
_INVALID_SHOWN = 100
_GONE = Fault("item_deleted", "The item is no longer kept. Submit it again in a new batch.", 410)
_CHANGED = Fault("conflict", "The batch has changed meanwhile. Look at it, and ask again.", 409)
TOO_MANY_UNFIT = Fault(
    "too_many_invalid",
    f"The patch does not fit more than {MAX_INVALID} of these items. Select fewer, by cause, code, partition or ids.",
)


class Sample(BaseModel):
    """An item that would run again: its payload now, and as it would run."""

    ordinal: int
    custom_id: str | None = None
    partition: str
    before: Any
    after: Any


class InvalidRetryItem(BaseModel):
    """An item that would not run, and why."""

    ordinal: int
    custom_id: str | None = None
    code: str = Field(
        description="`patch_not_applicable`: the patch does not apply; else what is wrong with the new payload"
    )
    reason: str


class RetryPreview(BaseModel):
    """What a retry would do. Nothing was changed."""

    round: Annotated[int, Field(description="the round that the batch has finished")]
    items: Annotated[int, Field(description="how many items would run again")]
    invalid: Annotated[int, Field(description="how many are selected and would not run")] = 0
    samples: Annotated[list[Sample], Field(description=f"the first {SAMPLES} that would run")] = []
    invalid_items: Annotated[
        list[InvalidRetryItem], Field(description=f"the first {_INVALID_SHOWN} that would not")
    ] = []
    invalid_ordinals: Annotated[list[int], Field(exclude=True)] = []


class Retries:
    """Asks the ledger which items these are, and the dispatcher for their payloads, some at a time."""

    def __init__(self, ledger: Ledger, registry: Registry) -> None:
        self._ledger, self._registry = ledger, registry

    async def count(self, header: Header, select: Selection | None) -> RetryPreview:
        """How many items would run again; raises `Refused` when none would."""
        query = SelectionQuery(owner=header.owner, batch_id=header.batch_id, select=select, limit=SAMPLES, count=True)
        reply = await self._ledger.selection(query)
        if not reply.count:
            raise Refused(nothing_to_run(select))
        first = await self._kept(header, reply.ordinals)
        samples = [
            Sample(ordinal=o, custom_id=x.custom_id, partition=x.partition, before=x.payload, after=x.payload)
            for o, x in first.items()
        ]
        return RetryPreview(round=reply.round, items=reply.count, samples=samples)

    async def try_patch(
        self, header: Header, select: Selection | None, operations: Sequence[Mapping[str, Any]]
    ) -> RetryPreview:
        """Patch every selected item and judge it as if it were new; raises `Refused` when none is selected, or too
        many do not fit."""
        rules = (await self._registry.get(header.workload)).rules
        try:
            patch = Patch(operations, MAX_ITEM_BYTES)
        except PatchError as error:
            detail = f"Not a JSON Patch (RFC 6902): {error}."
            raise Refused(Fault("invalid_patch", detail)) from error
        preview: RetryPreview | None = None
        async for round_, ordinals in self._selected(header, select):
            preview = preview or RetryPreview(round=round_, items=0)
            if round_ != preview.round:
                raise Refused(_CHANGED)
            kept = await self._kept(header, ordinals)
            for ordinal in ordinals:
                _try(preview, ordinal, kept.get(ordinal), patch, rules)
        if preview is None:
            raise Refused(nothing_to_run(select))
        return preview

    async def _selected(self, header: Header, select: Selection | None) -> AsyncIterator[tuple[int, Sequence[int]]]:
        after: int | None = -1
        while after is not None:
            query = SelectionQuery(owner=header.owner, batch_id=header.batch_id, select=select, after=after)
            reply = await self._ledger.selection(query)
            for start in range(0, len(reply.ordinals), MAX_PAGE):
                yield reply.round, reply.ordinals[start : start + MAX_PAGE]
            after = reply.next_after

    async def _kept(self, header: Header, ordinals: Sequence[int]) -> dict[int, StoredItem]:
        """The items that are kept; an answer may hold a part of those that were asked for."""
        found: dict[int, StoredItem] = {}
        left = list(ordinals)
        while left:
            query = ItemsQuery(owner=header.owner, batch_id=header.batch_id, ordinals=left)
            reply = await self._ledger.items(query)
            found |= {item.ordinal: item for item in reply.items}
            gone = set(reply.gone)
            if not reply.items and not gone:
                break
            left = [ordinal for ordinal in left if ordinal not in found and ordinal not in gone]
        return found


def nothing_to_run(select: Selection | None) -> Fault:
    """Why a retry would do nothing."""
    which = "that is selected " if select else ""
    return Fault("nothing_to_retry", f"No item {which}has failed, expired or been cancelled. See the failures.", 409)


def _try(preview: RetryPreview, ordinal: int, item: StoredItem | None, patch: Patch, rules: Rules) -> None:
    """Add one item to the preview."""
    if item is None:
        _leave_out(preview, ordinal, None, _GONE.code, _GONE.detail)
        return
    try:
        after = patch.apply(item.payload)
    except PatchError as error:
        _leave_out(preview, ordinal, item, "patch_not_applicable", str(error))
        return
    fault = rules.judge(after, to_json(after))
    if fault is not None:
        _leave_out(preview, ordinal, item, fault.code, fault.detail)
        return
    preview.items += 1
    if len(preview.samples) < SAMPLES:
        place = rules.partition(after)
        preview.samples.append(
            Sample(ordinal=ordinal, custom_id=item.custom_id, partition=place, before=item.payload, after=after)
        )


def _leave_out(preview: RetryPreview, ordinal: int, item: StoredItem | None, code: str, reason: str) -> None:
    if preview.invalid == MAX_INVALID:
        raise Refused(TOO_MANY_UNFIT)
    preview.invalid += 1
    preview.invalid_ordinals.append(ordinal)
    if len(preview.invalid_items) < _INVALID_SHOWN:
        custom_id = item.custom_id if item else None
        preview.invalid_items.append(InvalidRetryItem(ordinal=ordinal, custom_id=custom_id, code=code, reason=reason))

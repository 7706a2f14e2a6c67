"""Structs that read the hot messages several times as fast as the models of the contracts.

A struct has fields of the model that it is named after, under the same names, with the same types and bounds; values
that few need stay JSON (`msgspec.Raw`, empty if absent). Its readers leave unusual input, such as a number given as
text, to the model, which accepts more or says what is wrong.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from batchyard_contracts.v1.queries import MAX_RESULTS
from batchyard_contracts.v1.values import (
    MAX_ID,
    MAX_INTEGER,
    MAX_ITEM_ID,
    MAX_ITEM_UNITS,
    MAX_ITEMS_PER_COMMAND,
    MAX_LEASE_TOKEN,
    MAX_MILLISECONDS,
    MAX_ORDINALS,
    MAX_PARTITION_NAME,
    MAX_RESULT_BYTES,
    MAX_SECONDS,
)

Ordinal = Annotated[int, msgspec.Meta(ge=0, lt=MAX_ORDINALS)]
_Owner = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
_Workload = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,47}\Z")]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
_ItemUnits = Annotated[int, msgspec.Meta(ge=0, le=MAX_ITEM_UNITS)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_MILLISECONDS)]
_Partition = Annotated[str, msgspec.Meta(max_length=MAX_PARTITION_NAME)]
_WorkerId = Annotated[str, msgspec.Meta(max_length=MAX_ID)]
_LeaseToken = Annotated[str, msgspec.Meta(max_length=MAX_LEASE_TOKEN)]
_ItemId = Annotated[str, msgspec.Meta(max_length=MAX_ITEM_ID)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]


class RawStoredResult(msgspec.Struct, gc=False, frozen=True):
    """`StoredResult` of an outcome."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULT_BYTES)]


class RawOutcome(msgspec.Struct, gc=False, frozen=True):
    """`ItemOutcome` of a report."""

    ordinal: Ordinal
    status: Literal["succeeded", "failed", "retry", "continued", "cancelled"]
    custom_id: _ItemId | None = None
    result: msgspec.Raw = msgspec.Raw()
    stored: RawStoredResult | None = None
    error: msgspec.Raw = msgspec.Raw()
    delay_s: _Seconds | None = None
    guessed: bool | None = None
    state: msgspec.Raw = msgspec.Raw()
    progress: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    elapsed_ms: _Count = 0
    cached: bool = False
    units: _ItemUnits | None = None


class RawReportHead(msgspec.Struct, frozen=True):
    """`ChunkProcessed` without its outcomes."""

    chunk_id: UUID
    fence: _Count
    batch_id: UUID
    owner: _Owner
    workload: _Workload
    partition: _Partition
    round: _Positive
    attempt: _Positive
    worker_id: _WorkerId
    lease: _LeaseToken | None = None
    final: bool = True
    busy_ms: _Milliseconds = 0.0
    ended: _Count | None = None
    feedback: msgspec.Raw = msgspec.Raw()


class RawReport(RawReportHead, kw_only=True, frozen=True):
    """`ChunkProcessed`."""

    outcomes: Annotated[list[RawOutcome], msgspec.Meta(max_length=MAX_ITEMS_PER_COMMAND)]


class RawSegment(msgspec.Struct):
    """`Segment` of a page; an item is a `PageItem` in JSON."""

    partition: _Partition
    items: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_ITEMS_PER_COMMAND)]


class RawPage(msgspec.Struct):
    """`ItemsPage`."""

    batch_id: UUID
    workload: _Workload
    page: _Count
    segments: Annotated[list[RawSegment], msgspec.Meta(max_length=MAX_ITEMS_PER_COMMAND)]


class RawAcceptedItems(msgspec.Struct):
    """The items of `BatchAccepted`."""

    segments: Annotated[list[RawSegment], msgspec.Meta(max_length=MAX_ITEMS_PER_COMMAND)] | None = None


class RawKeyedItem(msgspec.Struct):
    """`PageItem` without its payload."""

    ordinal: Ordinal
    key: str | None = None
    custom_id: _ItemId | None = None


class RawChunkItem(msgspec.Struct):
    """`ChunkItem`, which the workload's own model validates."""

    ordinal: Ordinal
    payload: Any
    custom_id: _ItemId | None = None
    state: Any = None
    source: bool | None = None
    rerun: bool = False


class RawResult(msgspec.Struct, gc=False):
    """`ItemResult` of a success."""

    ordinal: Ordinal
    result: msgspec.Raw = msgspec.Raw(b"null")
    custom_id: _ItemId | None = None
    cached: bool = False


class RawResultPage(msgspec.Struct):
    """`ResultsPage`."""

    items: Annotated[list[RawResult], msgspec.Meta(max_length=MAX_RESULTS)] = []
    found: bool = True
    next_after: Annotated[int, msgspec.Meta(ge=-1, le=MAX_INTEGER)] | None = None

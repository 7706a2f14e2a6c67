"""Queries for the outcomes of items: results, failures by cause, and the items that a retry selects."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.queries.paging import MAX_ORDINALS, MAX_PAGE, MAX_RESULTS, Cursor
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_BATCH,
    BatchId,
    Cause,
    Count,
    CustomId,
    Detail,
    ErrorCode,
    ItemResult,
    Ordinal,
    Owner,
    PartitionName,
    Round,
    Selection,
    StreamCursor,
    TerminalStatus,
    Time,
)

StreamOrder = Literal["ordinal", "completion"]
"""Order of outcomes: that of their items, or that in which they were recorded."""


class ResultsQuery(Message):
    """Query for outcomes of a batch, in the order of their ordinals, beginning after the ordinal `after`."""

    type: ClassVar[str] = "results.query.v1"
    owner: Owner
    batch_id: BatchId
    after: Cursor = -1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 500
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    cause: Cause | None = None
    """Cause of the failure, as the reply to `failures.query.v1` names it."""
    max_items: Annotated[int, Field(ge=1, le=MAX_RESULTS)] | None = None
    """Largest number of outcomes in a reply of type `results.page.v1`; None: the reply is `results.reply.v1`, with
    `limit` outcomes at most. An older service sends that reply in any case."""
    skip: Annotated[int, Field(ge=0, lt=MAX_ITEMS_PER_BATCH)] = 0
    """Number of outcomes that are passed over before the page; an older service passes over none."""


class ResultsReply(Message):
    """Reply with a page of outcomes; `next_after` continues it, and is None after the last one recorded so far."""

    type: ClassVar[str] = "results.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    items: Annotated[list[ItemResult], Field(max_length=MAX_PAGE)] = []
    next_after: Cursor | None = None


class ResultsPage(ResultsReply):
    """Reply with a large page of outcomes, cut at about a megabyte; `next_after` continues it, and is None after the
    last outcome recorded so far."""

    type: ClassVar[str] = "results.page.v1"
    items: Annotated[list[ItemResult], Field(max_length=MAX_RESULTS)] = []


class StreamQuery(Message):
    """Query for the next outcomes of a batch that may still run. Further queries go on from the cursor of a page, or of
    any outcome on it, and so miss none and repeat none."""

    type: ClassVar[str] = "stream.query.v1"
    owner: Owner
    batch_id: BatchId
    order: StreamOrder = "ordinal"
    """Order of the outcomes; a cursor continues its own order."""
    cursor: StreamCursor | None = None
    """Cursor after which the page begins; None: with the first outcome."""
    without_gaps: bool = False
    """True: while the batch runs, outcomes by ordinal end before the first item that has not ended, so that no outcome
    appears before the cursor."""
    max_items: Annotated[int, Field(ge=1, le=MAX_RESULTS)] = MAX_PAGE
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    cause: Cause | None = None
    custom_id: CustomId | None = None
    round: Round | None = None
    """Only outcomes of this round, also those that a later round has replaced; None: those that hold now."""


class StreamPage(Message):
    """Reply with the next outcomes, each with its cursor. It may have none although more follow, because the filters
    select few."""

    type: ClassVar[str] = "stream.page.v1"
    found: bool = True
    """False: the owner has no such batch."""
    items: Annotated[list[ItemResult], Field(max_length=MAX_RESULTS)] = []
    cursor: StreamCursor | None = None
    """Cursor of the next page."""
    has_more: bool = False
    """True: further outcomes may be recorded already."""
    has_ended: bool = False
    """True: the batch, or the round that was asked for, has ended, and without `has_more` this is the last page."""


class OutcomesQuery(Message):
    """Query for outcomes without their results: those of the items named, or else those after the ordinal `after` that
    the filters select, in the order of their ordinals."""

    type: ClassVar[str] = "outcomes.query.v1"
    owner: Owner
    batch_id: BatchId
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_PAGE)] | None = None
    after: Cursor = -1
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    status: TerminalStatus | None = None
    cause: Cause | None = None


class RecordedOutcome(ItemResult):
    """Outcome as the ledger recorded it, without its result."""

    recorded_at: Time
    cause: Cause | None = None
    """Cause of the failure; None: the item did not fail."""


class OutcomesReply(Message):
    """Reply with outcomes in the order of their ordinals. There may be fewer than the limit although more follow."""

    type: ClassVar[str] = "outcomes.reply.v1"
    found: bool = True
    """False: the owner has no such batch."""
    items: Annotated[list[RecordedOutcome], Field(max_length=MAX_PAGE)] = []
    next_after: Cursor | None = None
    """Ordinal after which the outcomes go on; None: there are no more so far."""


class FailuresQuery(Message):
    """Query for the failures of a batch, grouped by cause."""

    type: ClassVar[str] = "failures.query.v1"
    owner: Owner
    batch_id: BatchId


class FailureGroup(Value):
    """Group of failed and expired items with one cause, with one of their messages and their first ordinals."""

    code: ErrorCode
    count: Count
    message: Detail
    ordinals: Annotated[list[Ordinal], Field(max_length=10)]
    cause: Cause | None = None
    partition: PartitionName | None = None
    retryable: bool | None = None
    """True: a retry without changes may succeed, because the items ran out of attempts or time."""


class FailuresReply(Message):
    """Reply with groups of failures, the largest first."""

    type: ClassVar[str] = "failures.reply.v1"
    found: bool = True
    groups: Annotated[list[FailureGroup], Field(max_length=MAX_PAGE)] = []


class SelectionQuery(Message):
    """Query for the items of a selection, in the order of their ordinals, beginning after the ordinal `after`."""

    type: ClassVar[str] = "selection.query.v1"
    owner: Owner
    batch_id: BatchId
    select: Selection | None = None
    """Selection; None: all items that did not succeed, but for those that failed as `needs_review`."""
    after: Cursor = -1
    limit: Annotated[int, Field(ge=0, le=MAX_ORDINALS)] = MAX_ORDINALS
    count: bool = False
    """True: the reply has the number of all selected items in `count`."""


class SelectionReply(Message):
    """Reply with a page of ordinals; `next_after` continues it, and is None at the end."""

    type: ClassVar[str] = "selection.reply.v1"
    found: bool = True
    round: Round = 1
    ordinals: Annotated[list[Ordinal], Field(max_length=MAX_ORDINALS)] = []
    next_after: Cursor | None = None
    count: Count | None = None

"""Messages of workers about chunks: reports with outcomes, and chunks that they return."""

import json
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, ValidationError

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    Attempt,
    BatchId,
    Count,
    Fence,
    ItemError,
    ItemUnits,
    LeaseToken,
    Milliseconds,
    Ordinal,
    Owner,
    PartitionName,
    ReportedCount,
    ReportedItemId,
    Round,
    Seconds,
    StoredResult,
    WorkerId,
    WorkloadName,
)


class ItemOutcome(Value):
    """Outcome of one run of one item. An item with `retry` or `continued` runs again; all others are terminal."""

    ordinal: Ordinal
    status: Literal["succeeded", "failed", "retry", "continued", "cancelled"]
    custom_id: ReportedItemId | None = None
    result: Any = None
    stored: StoredResult | None = None
    """Reference to the result in place of the result itself, if the worker has stored it. Services of a version before
    this field would take it for no result: a worker stores none unless it is told to."""
    error: ItemError | None = None
    delay_s: Seconds | None = None
    """Seconds until the next run: with `retry` the wait that the destination asked for, with `continued` the delay."""
    guessed: bool | None = None
    """True: the destination asked for a pause without a duration, so that `delay_s` is a guess."""
    state: JsonValue = None
    """State that the next run receives; set with `continued`."""
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    """Completed share of the item; set with `continued`."""
    elapsed_ms: ReportedCount = 0
    cached: bool = False
    units: ItemUnits | None = None
    """Number of units in the result of a success; None: the workload counts none."""


class DestinationFeedback(Value):
    """Measurements of a destination over the items of a report, from which its rate adapts."""

    mean_wait_ms: Milliseconds = 0
    """Mean time that an item waited until its limits let it start."""
    median_ms: Milliseconds | None = None
    """Median run time of the items that the destination answered."""
    p95_ms: Milliseconds | None = None
    """95th percentile of these run times."""
    answered: Count = 0
    """Number of items that the destination answered."""
    rate_limited: Count = 0
    """Number of items that the destination refused because of its rate limit."""
    unanswered: Count = 0
    """Number of items without an answer, or without one in time."""
    remaining: Count | None = None
    """Number of calls that the destination accepts within `reset_s` seconds, as it stated last; None: unknown."""
    reset_s: Seconds | None = None
    """Seconds until the destination accepts more calls; set together with `remaining`."""


class ChunkProcessed(Message):
    """Report of a worker on a chunk. A long chunk is reported in parts; the last one is `final`."""

    type: ClassVar[str] = "chunk.processed.v1"
    chunk_id: UUID
    fence: Fence
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    partition: PartitionName
    round: Round
    attempt: Attempt
    worker_id: WorkerId
    lease: LeaseToken | None = None
    """Token of the chunk, repeated; None: the chunk had none."""
    final: bool = True
    busy_ms: Milliseconds = 0
    """Sum of the run times of these outcomes, from which the size of chunks adapts."""
    ended: Count | None = None
    """Number of outcomes, set only if their ordinals differ and none is `retry` or `continued`. It precedes `outcomes`
    in the body, so that a reader that looks for items to run again can skip them."""
    feedback: DestinationFeedback | None = None
    """Measurements of the destination; set for a chunk with rates, and where the destination stated its remaining
    calls."""
    outcomes: Annotated[list[ItemOutcome], Field(max_length=MAX_ITEMS_PER_COMMAND)]

    @classmethod
    def decode_leniently(cls, body: bytes) -> Self:
        """Parse a report with unreadable parts, such as a text with half a surrogate pair.

        An unreadable outcome fails its own item as `outcome_unreadable`, or stays a `retry`; one that does not name its
        item, and unreadable feedback, are left out. Raises `pydantic.ValidationError` if the report does not say which
        chunk it is about.
        """
        try:
            return cls.decode(body)
        except ValidationError as error:
            try:
                fields = json.loads(body)  # reads what other readers refuse
                if not isinstance(fields["outcomes"], list):
                    raise error
                outcomes = [_readable_outcome(outcome) for outcome in fields["outcomes"]]
                fields["outcomes"] = [outcome for outcome in outcomes if outcome is not None]
                if (feedback := fields.get("feedback")) is not None:
                    fields["feedback"] = _readable_feedback(feedback)
                return cls.model_validate(fields)
            except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
                raise error from None


class ChunkReturned(Message):
    """Chunk that a worker acknowledged without running (all of) it, so that the dispatcher sends it again.

    `redelivered`: the chunk had been delivered before, and its former worker may be lost. This message takes the route
    of reports, so that it arrives after those of the lost worker. `stopping`: this worker stops.
    """

    type: ClassVar[str] = "chunk.returned.v1"
    chunk_id: UUID
    fence: Fence
    batch_id: BatchId
    workload: WorkloadName
    worker_id: WorkerId
    reason: Literal["redelivered", "stopping"]


_UNREADABLE = ItemError(
    code="outcome_unreadable",
    message="The worker's report on this item cannot be read: for example a text with half a surrogate pair, or "
    "hundreds of levels of nesting. Correct the worker.",
)


def _readable_outcome(outcome: Any) -> ItemOutcome | None:
    """Return an outcome; that of its item's failure if it cannot be read, None if it names no item. A state that is
    lost would repeat a call."""
    try:
        return ItemOutcome.model_validate_json(_json(outcome))
    except (ValueError, RecursionError):
        fields = outcome if isinstance(outcome, dict) else {}
        status = "retry" if fields.get("status") == "retry" else "failed"
    try:
        return ItemOutcome(ordinal=fields.get("ordinal"), status=status, error=_UNREADABLE)
    except ValueError:
        return None


def _readable_feedback(feedback: object) -> DestinationFeedback | None:
    try:
        return DestinationFeedback.model_validate_json(_json(feedback))
    except (ValueError, RecursionError):
        return None


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()

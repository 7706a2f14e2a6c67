"""Query for everything that holds back the items of one batch: "why is it not faster?"."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.queries.rates import RateState
from batchyard_contracts.v1.values import (
    MAX_INTEGER,
    BatchId,
    Count,
    Owner,
    PartitionName,
    Priority,
    Time,
    WaitReason,
)

MAX_DESTINATIONS = 50
"""Largest number of destinations in one reply."""
MAX_REASONS = 20
"""Largest number of reasons in one reply."""


class ReasonsQuery(Message):
    """Query for the reasons that hold back the items of one batch of an owner."""

    type: ClassVar[str] = "reasons.query.v1"
    owner: Owner
    batch_id: BatchId


class HoldReason(WaitReason):
    """Reason why items of a batch do not run yet, although others may."""

    items: Count | None = None
    """Number of items that it holds back, as far as they are in memory; None: all that wait."""
    partition: PartitionName | None = None
    """Destination whose items it holds back; None: it concerns all destinations."""


class DestinationState(Value):
    """Destination of items of a batch: how many wait for it and are in flight, and what holds them back."""

    partition: PartitionName
    waiting: Count = 0
    """Number of items in memory that wait to be dispatched."""
    in_flight: Count = 0
    """Number of items that workers hold."""
    retries: Count = 0
    """Number of items that wait for another attempt."""
    next_retry_at: Time | None = None
    """Time at which the first of them is due; None: none waits."""
    parked: bool = False
    """True: the destination takes no turn until a time, or until an item of one of its limits returns."""
    reason: WaitReason | None = None
    """Reason why nothing more goes to the destination at present; None: something may."""
    limits: Annotated[list[RateState], Field(max_length=5)] = []
    """Limits of the destination; `waiting` counts items of this batch, `in_flight` those of all batches."""


class BatchShare(Value):
    """Place of a batch in line for the workers of its workload, among the batches of the same priority with items that
    may be dispatched."""

    place: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """Place among the batches of its owner, of which 1 is served next; None: it is not in line, since no item of it
    may be dispatched."""
    batches: Count = 0
    """Number of batches of the owner that are in line."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of what the owner gets that goes to this batch, by weight."""
    owner_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the workers that the owner gets, by the weights of all owners in line."""
    preceded_by: Annotated[list[Priority], Field(max_length=3)] = []
    """Higher priorities of which items are in line, which go first."""


class ReasonsReply(Message):
    """Reply with what holds back the items of a batch, the reasons that hold back most first."""

    type: ClassVar[str] = "reasons.reply.v1"
    found: bool = True
    """False: the dispatcher has no unfinished batch of the owner with this id."""
    reasons: Annotated[list[HoldReason], Field(max_length=MAX_REASONS)] = []
    """Reasons that hold back most items first; empty: nothing holds them back."""
    paused: bool = False
    not_before: Time | None = None
    """Time before which no item is dispatched; None: it has passed, or there is none."""
    workers: Count = 0
    """Number of live workers that run the workload."""
    waiting: Count = 0
    """Number of items in memory that wait to be dispatched."""
    more_waiting: bool = False
    """True: further items wait in the table."""
    in_flight: Count = 0
    """Number of items that workers hold."""
    retries: Count = 0
    """Number of items that wait for another attempt, of which the first 10,000 are counted."""
    next_retry_at: Time | None = None
    """Time at which the first of them is due; None: none waits."""
    share: BatchShare | None = None
    """Place of the batch in line; None: it is stopped."""
    destinations: Annotated[list[DestinationState], Field(max_length=MAX_DESTINATIONS)] = []
    """Destinations, those that hold back most first."""
    more_destinations: Count = 0
    """Number of destinations that are left out."""

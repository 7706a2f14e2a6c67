"""Query for what the dispatcher remembers of a batch: its start, and the rates of its destinations."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.queries.rates import RateHistoryEntry
from batchyard_contracts.v1.values import BatchId, LimitName, Owner, PartitionName, Round, Time

MAX_CHANGES = 200
"""Largest number of changes in one reply."""


class HistoryQuery(Message):
    """Query for the newest changes of a batch's destinations in a span of time."""

    type: ClassVar[str] = "history.query.v1"
    owner: Owner
    batch_id: BatchId
    since: Time
    before: Time
    limit: Annotated[int, Field(ge=1, le=MAX_CHANGES)] = 50


class DestinationChange(RateHistoryEntry):
    """Change of the rate or of the circuit of a destination."""

    limit: LimitName
    partition: PartitionName


class HistoryReply(Message):
    """Reply with the start of the latest round, and the changes of the destinations, the newest first."""

    type: ClassVar[str] = "history.reply.v1"
    found: bool = True
    """False: the owner has no such batch, or the dispatcher has deleted it."""
    round: Round = 1
    """Latest round that the dispatcher knows."""
    started_at: Time | None = None
    """Time at which the first item of that round was dispatched; None: none was, or it is not known."""
    changes: Annotated[list[DestinationChange], Field(max_length=MAX_CHANGES)] = []

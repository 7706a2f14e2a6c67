"""Query for the end that a batch would have: "when would it be done, and what would it take to be done earlier?"."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import (
    BatchId,
    Count,
    Detail,
    EtaSeconds,
    Forecast,
    Owner,
    PartitionName,
    Priority,
    Terms,
    WorkloadName,
)

MAX_ESTIMATED_PARTITIONS = 50
"""Largest number of destinations that a query names; it counts the others together."""
MAX_DELAYED = 20
"""Largest number of batches that a reply names."""


class PartitionItems(Value):
    """Number of the items of a batch that go to one destination."""

    partition: PartitionName
    items: Count


class EstimateQuery(Message):
    """Query for the end of a batch if it were submitted now. Nothing is submitted."""

    type: ClassVar[str] = "estimate.query.v1"
    owner: Owner
    workload: WorkloadName
    priority: Priority = "normal"
    terms: Terms = Terms()
    partitions: Annotated[list[PartitionItems], Field(max_length=MAX_ESTIMATED_PARTITIONS)] = []
    """Destinations with most items."""
    other_items: Count = 0
    """Number of the items of all other destinations."""


class Alternative(Value):
    """Change by which nine of ten such batches would end by the deadline."""

    kind: Literal["weight", "rate", "concurrency", "destination_rate", "destination_concurrency"]
    """Term of the batch to change, or limit of a destination, which an operator can change."""
    value: Annotated[float, Field(ge=0, le=1e9)]
    """Smallest value that would do, of those that were tried."""
    limit: Annotated[str, StringConstraints(max_length=1200)] | None = None
    """Name of the destination's limit, with its partition; None: a term of the batch."""
    detail: Detail


class DelayedBatch(Value):
    """Running batch that would end later."""

    batch_id: BatchId
    by_s: EtaSeconds
    """Seconds by which it would end later, in half of the cases."""


class EstimateReply(Message):
    """Reply with the end that a batch would have."""

    type: ClassVar[str] = "estimate.reply.v1"
    items: Count = 0
    forecast: Forecast
    chance: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the cases in which it ends by its deadline; None: it has none, or the end is not known."""
    alternatives: Annotated[list[Alternative], Field(max_length=5)] = []
    """Changes that would do, if fewer than nine of ten cases end by the deadline."""
    delays: Annotated[list[DelayedBatch], Field(max_length=MAX_DELAYED)] = []
    """Batches of the owner that would end later, the longest delay first."""
    delays_of_others: Count = 0
    """Number of batches of other owners that would end later."""

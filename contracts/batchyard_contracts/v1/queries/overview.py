"""Queries of ingest for its overview: recent ends from the aggregator, the load from the dispatcher."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.queries.batches import BatchState, WorkloadCapacity
from batchyard_contracts.v1.queries.rates import RateState
from batchyard_contracts.v1.values import Count, Owner, Result, Time

MAX_ATTENTION = 20
"""Largest number of batches, and of circuits, in an overview."""
MAX_LAST_ENDS = 5
MAX_ENDS_COUNTED = 10_000
"""Ends that are counted for each owner, the newest first."""


class EndsQuery(Message):
    """Query of a service for the batches that ended lately."""

    type: ClassVar[str] = "ends.query.v1"
    owner: Owner | None = None
    """Owner of the batches; None: all owners."""
    since: Time
    """Time after which ends count, and failures deserve attention."""


class EndsReply(Message):
    """Reply with the numbers of batches that ended since the time, by result, and some of them."""

    type: ClassVar[str] = "ends.reply.v1"
    results: Annotated[dict[Result, Count], Field(max_length=4)] = {}
    """Number of batches by result, of which the newest 10,000 of each owner are counted."""
    last: Annotated[list[BatchState], Field(max_length=MAX_LAST_ENDS)] = []
    """Batches that ended last, the newest first, whenever that was."""
    failed: Annotated[list[BatchState], Field(max_length=MAX_ATTENTION)] = []
    """Batches with failures, or that a service stopped: those that were stopped first, then the newest."""


class WorkloadLoad(WorkloadCapacity):
    """Workload with the unfinished batches that the query selects."""

    batches: Count = 0
    in_flight: Count = 0
    """Number of their items that workers hold."""


class LoadQuery(Message):
    """Query of a service for what the dispatcher has in hand."""

    type: ClassVar[str] = "load.query.v1"
    owner: Owner | None = None
    """Owner whose batches count; None: all owners."""


class LoadReply(Message):
    """Reply with the load of the dispatcher."""

    type: ClassVar[str] = "load.reply.v1"
    workers: Count = 0
    """Number of live workers."""
    batches: Count = 0
    """Number of unfinished batches."""
    paused: Count = 0
    """Number of them that are paused."""
    in_flight: Count = 0
    """Number of items that workers hold."""
    workloads: Annotated[list[WorkloadLoad], Field(max_length=1000)] = []
    """Workloads with unfinished batches."""
    circuits: Annotated[list[RateState], Field(max_length=MAX_ATTENTION)] = []
    """Destinations whose circuit is not closed, and that the batches use."""

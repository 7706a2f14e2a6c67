"""Queries for the rates of destinations, and of a worker for the limits of one call."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.queries.paging import MAX_PAGE
from batchyard_contracts.v1.values import (
    CircuitState,
    Count,
    Detail,
    ItemError,
    LimitName,
    MeasuredPerSecond,
    Owner,
    PartitionName,
    Seconds,
    Time,
    WaitReason,
    WorkloadName,
)
from batchyard_contracts.v1.work import ChunkRates


class RatesQuery(Message):
    """Query for the rates of destinations: of one workload or all, of one partition or all in use."""

    type: ClassVar[str] = "rates.query.v1"
    workload: WorkloadName | None = None
    limit: LimitName | None = None
    partition: Annotated[str, StringConstraints(max_length=255)] | None = None
    """Partition of this limit, such as a host or an account; None: all in use."""
    history: Annotated[int, Field(ge=0, le=200)] = 0
    """Largest number of entries of each rate's history."""
    owner: Owner | None = None
    """Owner of whose batches' destinations only the rates are returned, with counts of these batches; None: all."""


class RateHistoryEntry(Value):
    """Entry of a rate's history: one change of the rate or of the circuit, and its reason. Rates are in items a second;
    None: unlimited."""

    at: Time
    before: MeasuredPerSecond | None = None
    after: MeasuredPerSecond | None = None
    reason: Detail
    circuit: CircuitState | None = None
    """State that the circuit changed to; None: the rate changed."""


class RateState(Value):
    """State of one limit of a workload at one of its partitions, such as a host or an account."""

    workload: WorkloadName
    limit: LimitName
    partition: PartitionName
    per_second: MeasuredPerSecond | None = None
    """Present rate in items a second; None: unlimited."""
    burst: Count = 1
    reason: Detail
    """Reason for the present rate."""
    adaptive: Adaptive | None = None
    concurrency: Count | None = None
    set_by_operator: bool = False
    """True: an operator's override replaces the manifest's."""
    in_flight: Count = 0
    """Number of items that workers hold."""
    waiting: Count = 0
    """Number of items in memory that wait to be dispatched; more may wait for a retry."""
    backoff_until: Time | None = None
    """Time until which nothing is dispatched, because the destination asked for a pause; None: there is none."""
    backoff_reason: Detail = ""
    circuit: CircuitState = "closed"
    error: ItemError | None = None
    """Error for which the circuit is not closed."""
    next_probe_at: Time | None = None
    """Time at which a single item probes the provider."""
    chunk_size: Count | None = None
    """Present number of items in a chunk."""
    chunk_size_reason: Detail = ""
    history: Annotated[list[RateHistoryEntry], Field(max_length=200)] = []


class RatesReply(Message):
    """Reply with the rates in use, the busiest first."""

    type: ClassVar[str] = "rates.reply.v1"
    rates: Annotated[list[RateState], Field(max_length=MAX_PAGE)]
    truncated: bool = False
    """True: more rates are in use than fit into a reply; name a workload, or a partition."""


class CallResult(Value):
    """Result of a call outside of any batch, as far as it concerns other calls to the same destination."""

    error: ItemError | None = None
    """Error of the call. One of the provider opens its circuit breaker, unless it asked for a pause."""
    delay_s: Seconds | None = None
    """Pause that the destination asked for."""


class LimitsQuery(Message):
    """Query of a worker for the limits that a call outside of any batch has to keep, for example for a question.

    With a `call_id` the call takes a place among the concurrent calls of the partition, once one is free; the worker
    repeats the query until then, and sends it once more with `ended` after the call.
    """

    type: ClassVar[str] = "limits.query.v1"
    workload: WorkloadName
    partition: PartitionName
    call_id: UUID | None = None
    """Call that takes a place, one for each id; None: the limits are told only."""
    seconds: Seconds = 60.0
    """Time after which the place is free although the worker did not report the end of the call."""
    ended: CallResult | None = None
    """Result of the call; None: it has not ended."""


class LimitsReply(Message):
    """Reply with the rates of the partition, or with the reason why it takes no call at present."""

    type: ClassVar[str] = "limits.reply.v1"
    rates: ChunkRates | None = None
    """Rates that the call shares with the items of the partition; None: there are none."""
    waiting: WaitReason | None = None
    """Reason why no call may be made; None: one may be made."""
    takes_places: bool | None = None
    """True: concurrency is limited, so that the call needs a place, for which the query names a `call_id`."""

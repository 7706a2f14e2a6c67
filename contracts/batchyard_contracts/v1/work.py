"""Messages that workers consume from the exchange `batchyard.work`: chunks to run, and summaries to make."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, model_serializer

from batchyard_contracts.message import Message, Value, write_null_payload
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_COMMAND,
    Attempt,
    BatchId,
    Count,
    Counts,
    Fence,
    ItemId,
    LeaseToken,
    Ordinal,
    Owner,
    PartitionName,
    Priority,
    Reuse,
    Round,
    WorkloadName,
)

MAX_KEY = 5000
"""Largest number of characters of the key of a shared rate, which names workload, limit and partition."""


class ChunkItem(Value):
    """Item of a chunk, to be run. `state` is the state that its last run returned with `Continuation`."""

    ordinal: Ordinal
    payload: Any
    custom_id: ItemId | None = None
    state: JsonValue = None
    source: bool | None = None
    """True: the payload is the source of the batch. Its items are sent as `source.expanded.v1` before its report."""
    rerun: bool = False
    """True: an earlier run was cut off, because its worker stopped."""

    _write = model_serializer(mode="wrap")(write_null_payload)


class SharedRate(Value):
    """Rate that the calls of all workers share under one key. The higher `version` replaces the lower one."""

    key: Annotated[str, StringConstraints(max_length=MAX_KEY)]
    per_second: Annotated[float, Field(ge=0.000_000_1, le=1_000_000)]
    """Items a second."""
    burst: Count = 1
    version: Annotated[int, Field(ge=0, le=2**53)] = 0


class ChunkRates(Value):
    """Rates that a chunk keeps: each item starts when all keys permit it; see `docs/retries.md`."""

    keys: Annotated[list[SharedRate], Field(max_length=10)] = []
    share: Annotated[float, Field(ge=0.000_001, le=1)] = 1.0
    """Share of each rate that this worker uses while Redis is unavailable."""
    probe: bool = False
    """True: a single item that probes a provider whose circuit is open."""


class ChunkHead(Message):
    """Chunk without its items."""

    type: ClassVar[str] = "chunk.ready.v1"
    chunk_id: UUID
    fence: Fence
    """Fencing token, which grows with each dispatch of the chunk; a report with an older one is discarded."""
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    partition: PartitionName
    round: Round
    attempt: Attempt
    reuse: Reuse | None = None
    quarantined: bool = False
    """True: a worker that held the chunk was lost, so that it runs in a process of its own."""
    external_cancel: bool = False
    """True: the batch was stopped, so that the worker cancels the external work of these items and reports nothing.
    Sent only for workloads whose manifest has `external_cancel`."""
    rates: ChunkRates | None = None
    """Rates at which the items start; None: no limit applies."""
    lease: LeaseToken | None = None
    """Token that each report on the chunk repeats; None: the installation asks for none."""

    def routing_key(self) -> str:
        """Queue of the workload and priority, or the quarantine of the workload."""
        return f"work.{self.workload}.{'quarantine' if self.quarantined else self.priority}"

    def with_items(self, items: Sequence[bytes]) -> bytes:
        """Body of the `ChunkReady` with these items, each a `ChunkItem` in JSON that is not parsed."""
        return self.encode()[:-1] + b',"items":[' + b",".join(items) + b"]}"


class ChunkReady(ChunkHead):
    """Chunk of items of one partition, to be run now. Reports repeat its `chunk_id`, `fence`, `round` and `attempt`."""

    type: ClassVar[str] = "chunk.ready.v1"
    items: Annotated[list[ChunkItem], Field(min_length=1, max_length=MAX_ITEMS_PER_COMMAND)]


class SummaryRequested(Message):
    """Request to summarize a batch whose items have all ended. It may be sent more than once.

    The worker reads the results of the succeeded items by `results.query.v1`, in the order of their ordinals, and
    answers by `summary.completed.v1` under the same `round`.
    """

    type: ClassVar[str] = "summary.requested.v1"
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    round: Round
    counts: Counts
    has_source: bool | None = None
    """True: item 0 is the source of the batch. Its result is none of the workload's, so that the summary skips it."""
    timeout_s: Annotated[float, Field(ge=0.001, le=86_400)]
    """Seconds after which the aggregator no longer waits for the summary."""

    def routing_key(self) -> str:
        """Queue of the workload's summaries."""
        return f"work.{self.workload}.summary"

"""What a worker is given, on the exchange `batchyard.work`: items to run, results to make a summary of."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, JsonValue

from batchyard_contracts.message import Message, Value
from batchyard_contracts.v1.values import BatchId, Counts, Ordinal, Owner, Priority, Reuse, Round, WorkloadName


class ChunkItem(Value):
    """An item to run. `state` is what its last run returned when it asked to be continued."""

    ordinal: Ordinal
    payload: Any
    custom_id: str | None = None
    state: JsonValue = None
    source: bool | None = None
    """True: the payload is the batch's source. What it comes to goes out as `source.expanded.v1`, before its report."""
    rerun: bool = False
    """A worker that ran it stopped before it had ended."""


class PaceKey(Value):
    """A rate that the calls of all workers keep together. Of two versions under one key the higher one counts."""

    key: str
    per_second: float
    burst: int = 1
    version: int = 0


class Pace(Value):
    """How the items of a chunk are to be started: each when all keys let it, see `docs/retries.md`."""

    keys: list[PaceKey] = []
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """This worker's part of each rate while workers cannot agree."""
    probe: bool = False
    """A single item that tries a provider which refused everything before."""


class ChunkHead(Message):
    """A chunk without its items."""

    type: ClassVar[str] = "chunk.ready.v1"
    chunk_id: UUID
    fence: int
    """Grows each time the chunk is given out; a report under an older number is late."""
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    priority: Priority
    partition: str
    round: Round
    attempt: Annotated[int, Field(ge=1)]
    reuse: Reuse | None = None
    quarantined: bool = False
    """A worker that held it was lost, perhaps by its doing: run it in a process of its own."""
    abandoned: bool = False
    """Its batch was stopped: let go of what runs elsewhere for these items, and report nothing. Only workloads whose
    manifest says `lets_go` are sent such chunks."""
    pace: Pace | None = None
    """Absent: nothing limits when its items start."""

    def routing_key(self) -> str:
        """Chunks go to the queue of their workload and priority, or to their workload's quarantine."""
        return f"work.{self.workload}.{'quarantine' if self.quarantined else self.priority}"

    def with_items(self, items: Sequence[bytes]) -> bytes:
        """The body of the `ChunkReady` with these items, each a `ChunkItem` in JSON that is passed on unread."""
        return self.encode()[:-1] + b',"items":[' + b",".join(items) + b"]}"


class ChunkReady(ChunkHead):
    """Items of one partition to run now. Report them with the same `chunk_id`, `fence`, `round` and `attempt`."""

    type: ClassVar[str] = "chunk.ready.v1"
    items: Annotated[list[ChunkItem], Field(min_length=1)]


class SummaryWanted(Message):
    """All items of a batch have ended: read the results of those that succeeded by `results.query.v1`, in the order of
    their ordinals, and report what the workload makes of them by `summary.made.v1`, under the same `round`. It may come
    again."""

    type: ClassVar[str] = "summary.wanted.v1"
    batch_id: BatchId
    owner: Owner
    workload: WorkloadName
    round: Round
    counts: Counts
    sourced: bool | None = None
    """True: item 0 is the batch's source, whose result is none of the workload's. Begin after it."""
    limit_s: Annotated[float, Field(gt=0)]
    """Nobody waits for longer."""

    def routing_key(self) -> str:
        """It goes to a queue of its workload."""
        return f"work.{self.workload}.summary"

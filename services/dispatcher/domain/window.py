"""Keeps the number of items that are out at workers near what they can run, over all and by partition.

What an item takes of the window follows from the size of its batch's chunks: so a batch of long items cannot be shut
out by one of short items, which may have many more of them out. What is out of a lower class takes nothing from a
higher one, since workers take that first: each class finds room at once, and all together stay bounded.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol
from uuid import UUID

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, Priority
from services.dispatcher.domain.chunk_size import START, ChunkSize
from services.dispatcher.domain.scheduler import Again, Range

_AHEAD = 2
"""Items out for each that a worker can run at once: one runs, one is at hand."""
_CHUNKS_AHEAD = 3
"""Chunks out for each worker at least, so that small items keep it busy."""


_FULL = 1 - 1e-9
_Lane = tuple[UUID, str, Priority]


class Chunk(Protocol):
    """What goes out, or is out."""

    @property
    def batch_id(self) -> UUID: ...
    @property
    def partition(self) -> str: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def source(self) -> Range | Again: ...


@dataclass(slots=True)
class Window:
    """What is out, and what may follow, for one workload."""

    manifest: Manifest
    workers: float = 0
    """One that may run half or twice as much as the manifest says counts for half or for two."""
    out: int = 0
    out_by_partition: Counter[str] = field(default_factory=Counter)
    out_by_batch: Counter[UUID] = field(default_factory=Counter)
    sizes: dict[UUID, dict[str, ChunkSize]] = field(default_factory=dict)
    """By batch and partition: what is learned of one batch says little of another."""
    earlier: int | None = None
    """The size that was learned last, of whatever batch."""
    parked: dict[str, float] = field(default_factory=dict)
    """Partitions that must wait, until when (the caller's clock, seconds)."""
    _lanes: dict[_Lane, tuple[int, float]] = field(default_factory=dict)
    """Items that are out, and how many workers they keep supplied."""
    _supplied: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0.0))
    """How many workers are kept supplied, by class."""

    def size(self, batch_id: UUID, partition: str) -> int:
        """How many items make a chunk now."""
        learned = self.sizes.get(batch_id, {}).get(partition) or self._first()
        return min(learned.size, self.manifest.chunk_max)

    def limit(self, size: int) -> int:
        """How many items may be out when all chunks have this size."""
        return ceil(self.workers * self._supply(size))

    def full(self, priority: Priority) -> bool:
        """Whether nothing of this class may go out."""
        above = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return sum(self._supplied[p] for p in above) >= self.workers * _FULL

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk, if the window is not full."""
        if partition in self.parked:
            return 0
        size = self.size(batch_id, partition)
        cap = self.manifest.partition_concurrency
        return size if cap is None else min(size, cap - self.out_by_partition[partition])

    def given(self, chunk: Chunk) -> None:
        """Items went out."""
        self._move(chunk, chunk.source.count)

    def returned(self, chunk: Chunk) -> None:
        """Items are back, whatever came of them."""
        self._move(chunk, -chunk.source.count)

    def _move(self, chunk: Chunk, count: int) -> None:
        self.out += count
        self.out_by_partition[chunk.partition] += count
        self.out_by_batch[chunk.batch_id] += count
        if self.out_by_partition[chunk.partition] <= 0:
            del self.out_by_partition[chunk.partition]
        if self.out_by_batch[chunk.batch_id] <= 0:
            del self.out_by_batch[chunk.batch_id]
        self._weigh((chunk.batch_id, chunk.partition, chunk.priority), count)

    def _weigh(self, lane: _Lane, count: int = 0) -> None:
        """Count anew how many workers a lane's items supply, after their number or the size of chunks changed."""
        out, before = self._lanes.pop(lane, (0, 0.0))
        batch_id, partition, priority = lane
        if out + count:
            now = (out + count) / self._supply(self.size(batch_id, partition))
            self._lanes[lane] = (out + count, now)
        else:
            now = 0.0
        self._supplied[priority] += now - before
        if not self._lanes:
            self._supplied[priority] = 0.0  # rounding leaves nothing behind

    def _supply(self, size: int) -> int:
        """Items in chunks of this size that keep one worker supplied."""
        at_once = self.manifest.concurrency * (size if self.manifest.whole_chunks else 1)
        return max(_AHEAD * at_once, _CHUNKS_AHEAD * size)

    def measured(self, batch_id: UUID, partition: str, items: int, busy_s: float) -> None:
        """Learn from a report."""
        sizes = self.sizes.setdefault(batch_id, {})
        target, cap = self.manifest.chunk_target_s, self.manifest.chunk_max
        before = sizes.get(partition) or self._first()
        learned = sizes[partition] = before.measured(items, busy_s, target, cap)
        self.earlier = learned.size
        if learned.size != before.size:
            for priority in PRIORITIES:
                if (batch_id, partition, priority) in self._lanes:
                    self._weigh((batch_id, partition, priority))

    def _first(self) -> ChunkSize:
        """A batch begins where others of its workload are, but with hardly more items in a chunk than a worker runs at
        once: should they take longer this time, none of them waits long for another."""
        return ChunkSize(START if self.earlier is None else min(self.earlier, max(START, self.manifest.concurrency)))

    def forget(self, batch_id: UUID) -> None:
        """A batch has ended."""
        self.sizes.pop(batch_id, None)

    def park(self, partition: str, until: float) -> None:
        """Let nothing of the partition out before `until`."""
        self.parked[partition] = max(until, self.parked.get(partition, until))

    def unpark(self, now: float) -> float | None:
        """Let those go whose time has come; the next time that one's will, if any."""
        for partition in [p for p, until in self.parked.items() if until <= now]:
            del self.parked[partition]
        return min(self.parked.values(), default=None)

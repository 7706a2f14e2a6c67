"""Keeps the number of items that are out at workers near what they can run, over all and by partition."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.chunk_size import START, ChunkSize

_AHEAD = 2
"""Items out for each that a worker can run at once: one runs, one is at hand."""
_CHUNKS_AHEAD = 3
"""Chunks out for each worker at least, so that small items keep it busy."""


@dataclass(slots=True)
class Window:
    """What is out, and what may follow, for one workload."""

    manifest: Manifest
    workers: int = 0
    out: int = 0
    out_by_partition: Counter[str] = field(default_factory=Counter)
    sizes: dict[UUID, dict[str, ChunkSize]] = field(default_factory=dict)
    """By batch and partition: what is learned of one batch says little of another."""
    largest: int = START
    """No chunk is larger now, of whatever batch and partition."""
    parked: dict[str, float] = field(default_factory=dict)
    """Partitions that must wait, until when (the caller's clock, seconds)."""

    def size(self, batch_id: UUID, partition: str) -> int:
        """How many items make a chunk now."""
        learned = self.sizes.get(batch_id, {}).get(partition) or ChunkSize()
        return min(learned.size, self.manifest.chunk_max)

    def limit(self, size: int) -> int:
        """How many items may be out when the next chunk has this size."""
        return self.workers * max(_AHEAD * self.manifest.concurrency, _CHUNKS_AHEAD * size)

    @property
    def full(self) -> bool:
        """Whether even the largest chunk, which is let furthest ahead, must wait."""
        return self.out >= self.limit(min(self.largest, self.manifest.chunk_max))

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk now."""
        if partition in self.parked:
            return 0
        size = self.size(batch_id, partition)
        if self.out >= self.limit(size):
            return 0
        cap = self.manifest.partition_concurrency
        return size if cap is None else min(size, cap - self.out_by_partition[partition])

    def given(self, partition: str, count: int) -> None:
        """Items went out."""
        self.out += count
        self.out_by_partition[partition] += count

    def returned(self, partition: str, count: int) -> None:
        """Items are back, whatever came of them."""
        self.out -= count
        self.out_by_partition[partition] -= count
        if self.out_by_partition[partition] <= 0:
            del self.out_by_partition[partition]

    def measured(self, batch_id: UUID, partition: str, items: int, busy_s: float) -> None:
        """Learn from a report."""
        sizes = self.sizes.setdefault(batch_id, {})
        target, cap = self.manifest.chunk_target_s, self.manifest.chunk_max
        learned = sizes[partition] = sizes.get(partition, ChunkSize()).measured(items, busy_s, target, cap)
        self.largest = max(self.largest, learned.size)

    def forget(self, batch_id: UUID) -> None:
        """A batch has ended."""
        self.sizes.pop(batch_id, None)
        if not self.sizes:
            self.largest = START

    def park(self, partition: str, until: float) -> None:
        """Let nothing of the partition out before `until`."""
        self.parked[partition] = max(until, self.parked.get(partition, until))

    def unpark(self, now: float) -> float | None:
        """Let those go whose time has come; the next time that one's will, if any."""
        for partition in [p for p, until in self.parked.items() if until <= now]:
            del self.parked[partition]
        return min(self.parked.values(), default=None)

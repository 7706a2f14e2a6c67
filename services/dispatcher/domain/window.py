"""Keeps the number of items that are out at workers near what they can run, over all and by partition."""

from collections import Counter
from dataclasses import dataclass, field

from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.chunk_size import ChunkSize
from services.dispatcher.domain.scheduler import Sizes

_AHEAD = 2
"""Items out for each that a worker can run at once: one runs, one is at hand."""
_CHUNKS_AHEAD = 4
"""Chunks out for each worker at least, so that small items keep it busy."""


@dataclass(slots=True)
class Window(Sizes):
    """What is out, and what may follow, for one workload."""

    manifest: Manifest
    workers: int = 0
    out: int = 0
    out_by_partition: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, ChunkSize] = field(default_factory=dict)
    parked: dict[str, float] = field(default_factory=dict)
    """Partitions that must wait, until when (the caller's clock, seconds)."""
    learned: ChunkSize = field(default_factory=ChunkSize)
    """Over all partitions: where one that is new begins."""

    @property
    def limit(self) -> int:
        """How many items may be out."""
        chunk = min(self.learned.size, self.manifest.chunk_max)
        return self.workers * max(_AHEAD * self.manifest.concurrency, _CHUNKS_AHEAD * chunk)

    @property
    def open(self) -> bool:
        """Whether another chunk may go out."""
        return self.out < self.limit

    def allowed(self, partition: str) -> int:
        """Items of the partition that may go out as one chunk now."""
        if partition in self.parked:
            return 0
        size = self.sizes.get(partition, self.learned).size
        cap = self.manifest.partition_concurrency
        if cap is not None:
            size = min(size, cap - self.out_by_partition[partition])
        return min(size, self.manifest.chunk_max)

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

    def measured(self, partition: str, items: int, busy_s: float) -> None:
        """Learn from a report."""
        target, cap = self.manifest.chunk_target_s, self.manifest.chunk_max
        self.learned = self.learned.measured(items, busy_s, target, cap)
        if partition:
            self.sizes[partition] = self.sizes.get(partition, self.learned).measured(items, busy_s, target, cap)

    def park(self, partition: str, until: float) -> None:
        """Let nothing of the partition out before `until`."""
        self.parked[partition] = max(until, self.parked.get(partition, until))

    def unpark(self, now: float) -> float | None:
        """Let those go whose time has come; the next time that one's will, if any."""
        for partition in [p for p, until in self.parked.items() if until <= now]:
            del self.parked[partition]
        return min(self.parked.values(), default=None)

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

from batchyard_contracts.v1.flow import Felt
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, ItemError, Priority
from batchyard_contracts.v1.work import Pace
from services.dispatcher.domain.rate_limiting.adaptive_rate import Change
from services.dispatcher.domain.rate_limiting.limit_set import Limits
from services.dispatcher.domain.rate_limiting.limiter import NEVER, Throttle
from services.dispatcher.domain.scheduling.chunk_sizer import START, ChunkSize, Fate
from services.dispatcher.domain.scheduling.scheduler import Again, Range

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
    out_by_batch: Counter[UUID] = field(default_factory=Counter)
    sizes: dict[UUID, dict[str, ChunkSize]] = field(default_factory=dict)
    """By batch and partition: what is learned of one batch says little of another."""
    earlier: int | None = None
    """The size that was learned last, of whatever batch."""
    parked: dict[str, float] = field(default_factory=dict)
    """Partitions that are not to be asked again before then (the caller's clock, seconds)."""
    now: float = 0.0
    """When `unpark` was last called."""
    epoch_s: float = 0.0
    """What to add to that clock for the time since 1970: versions of rates are told to others."""
    limits: Limits = field(init=False)
    _lanes: dict[_Lane, tuple[int, float]] = field(default_factory=dict)
    """Items that are out, and how many workers they keep supplied."""
    _supplied: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0.0))
    """How many workers are kept supplied, by class."""

    def __post_init__(self) -> None:
        self.limits = Limits(self.manifest)

    def know(self, manifest: Manifest) -> None:
        """Take a manifest, new or changed."""
        self.manifest = manifest
        self.limits.know(manifest, self.version_at(self.now), self.now)
        self.parked.clear()

    def version_at(self, now: float) -> int:
        """Later rates have higher versions, also those of another dispatcher."""
        return round((self.epoch_s + now) * 1000)

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
        return sum(self._supplied[p] for p in above) >= self.workers * _FULL or self.limits.full(self.now)

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk, if the window is not full."""
        if partition in self.parked:
            return 0
        size = self.size(batch_id, partition)
        room, again_at = self.limits.room(partition, size, self.now)
        if room <= 0 and again_at != NEVER:
            self.parked[partition] = again_at
        return room

    def terms_of_start(self, partition: str) -> Pace | None:
        """What a worker has to know to start items of a partition at the right moment, if there is anything."""
        keys = self.limits.keys_of(partition)
        return Pace(keys=keys, share=1 / max(1, self.workers)) if keys else None

    def given(self, chunk: Chunk) -> None:
        """Items went out."""
        self._move(chunk, chunk.source.count)
        self.limits.given(chunk.partition, chunk.source.count, self.now)

    def returned(self, chunk: Chunk) -> None:
        """Items are back, whatever came of them."""
        self._move(chunk, -chunk.source.count)
        self.limits.returned(chunk.partition, chunk.source.count)

    def _move(self, chunk: Chunk, count: int) -> None:
        self.out += count
        self.out_by_batch[chunk.batch_id] += count
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

    def measured(self, batch_id: UUID, partition: str, items: int, busy_s: float, fate: Fate | None = None) -> None:
        """Learn from a report; `fate` is that of its chunk, where it says something."""
        sizes = self.sizes.setdefault(batch_id, {})
        target, cap, least = self.manifest.chunk_target_s, self.manifest.chunk_max, self.manifest.chunk_min
        before = sizes.get(partition) or self._first()
        fared = before if fate is None else before.fared(fate)
        learned = sizes[partition] = fared.measured(items, busy_s, target, cap, least)
        self.earlier = learned.size
        if learned.size != before.size:
            for priority in PRIORITIES:
                if (batch_id, partition, priority) in self._lanes:
                    self._weigh((batch_id, partition, priority))

    def _first(self) -> ChunkSize:
        """A batch begins where others of its workload are, but with hardly more items in a chunk than a worker runs at
        once: should they take longer this time, none of them waits long for another."""
        size = START if self.earlier is None else min(self.earlier, max(START, self.manifest.concurrency))
        return ChunkSize(max(size, min(self.manifest.chunk_min, self.manifest.chunk_max)))

    def felt(self, partition: str, felt: Felt, given_at: float, now: float) -> list[tuple[Throttle, Change]]:
        """How a destination bore items that were given out then; the rates that change."""
        version = self.version_at(now)
        throttles = self.limits.of(partition)
        others = felt if felt.remaining is None else felt.model_copy(update={"remaining": None})  # it spoke for itself
        told = [felt, *[others] * (len(throttles) - 1)]
        changes = [
            (throttle, change)
            for throttle, felt in zip(throttles, told, strict=True)
            if (change := throttle.felt(felt, given_at, version, now)) is not None
        ]
        if changes:
            self.parked.clear()
        return changes

    def refused(self, partition: str, error: ItemError, now: float) -> Throttle | None:
        """A provider refused for a cause of its own: its throttle, if that opened its circuit."""
        throttle, rule = self.limits.of(partition)[0], self.limits.rule_of(partition)
        return throttle if rule is not None and throttle.circuit.failed(error, rule, now) else None

    def answered(self, partition: str) -> Throttle | None:
        """A provider answered: its throttle, if that closed its circuit."""
        throttle = self.limits.of(partition)[0]
        if not throttle.circuit.succeeded():
            return None
        self.parked.clear()
        return throttle

    def forget(self, batch_id: UUID) -> None:
        """A batch has ended."""
        self.sizes.pop(batch_id, None)

    def follows(self, partition: str) -> bool:
        """Whether the rate of a partition adapts to its destination."""
        return self.limits.of(partition)[0].tuner is not None

    def park(self, partition: str, until: float, because: str = "") -> None:
        """Let nothing out before `until` that goes where the items of this partition go."""
        self.limits.of(partition)[0].park(until, because)
        self.parked[partition] = max(until, self.parked.get(partition, until))

    def unpark(self, now: float) -> float | None:
        """Let those go whose time has come; the next time that one's will, if any."""
        self.now = now
        self.limits.drop_idle(now)
        for partition in [p for p, until in self.parked.items() if until <= now]:
            del self.parked[partition]
        return min(self.parked.values(), default=None)

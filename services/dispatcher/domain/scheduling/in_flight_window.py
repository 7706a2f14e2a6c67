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

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, ItemError, Priority
from batchyard_contracts.v1.work import ChunkRates
from services.dispatcher.domain.rate_limiting.adaptive_rate import RateChange
from services.dispatcher.domain.rate_limiting.limit_set import LimitSet
from services.dispatcher.domain.rate_limiting.limiter import NEVER, Limiter
from services.dispatcher.domain.scheduling.chunk_sizer import INITIAL_SIZE, ChunkOutcomes, ChunkSizer
from services.dispatcher.domain.scheduling.scheduler import PageRange, RetryRange

_ITEMS_AHEAD = 2
"""Items out for each that a worker can run at once: one runs, one is at hand."""
_CHUNKS_AHEAD = 3
"""Chunks out for each worker at least, so that small items keep it busy."""


_FULL_SHARE = 1 - 1e-9
_Stream = tuple[UUID, str, Priority]


class PartitionChunk(Protocol):
    """What goes out, or is out."""

    @property
    def batch_id(self) -> UUID: ...
    @property
    def partition(self) -> str: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def source(self) -> PageRange | RetryRange: ...


@dataclass(slots=True)
class InFlightWindow:
    """What is out, and what may follow, for one workload."""

    manifest: Manifest
    workers: float = 0
    """One that may run half or twice as much as the manifest says counts for half or for two."""
    in_flight: int = 0
    in_flight_by_batch: Counter[UUID] = field(default_factory=Counter)
    sizes: dict[UUID, dict[str, ChunkSizer]] = field(default_factory=dict)
    """By batch and partition: what is learned of one batch says little of another."""
    last_size: int | None = None
    """The size that was learned last, of whatever batch."""
    backoffs: dict[str, float] = field(default_factory=dict)
    """Partitions that are not to be asked again before then (the caller's clock, seconds)."""
    now: float = 0.0
    """When `unpark` was last called."""
    wall_clock_offset_s: float = 0.0
    """What to add to that clock for the time since 1970: versions of rates are told to others."""
    limits: LimitSet = field(init=False)
    _streams: dict[_Stream, tuple[int, float]] = field(default_factory=dict)
    """Items that are out, and how many workers they keep supplied."""
    _supplied: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0.0))
    """How many workers are kept supplied, by class."""

    def __post_init__(self) -> None:
        self.limits = LimitSet(self.manifest)

    def set_manifest(self, manifest: Manifest) -> None:
        """Take a manifest, new or changed."""
        self.manifest = manifest
        self.limits.set_manifest(manifest, self.version_at(self.now), self.now)
        self.backoffs.clear()

    def version_at(self, now: float) -> int:
        """Later rates have higher versions, also those of another dispatcher."""
        return round((self.wall_clock_offset_s + now) * 1000)

    def chunk_size(self, batch_id: UUID, partition: str) -> int:
        """How many items make a chunk now."""
        sizer = self.sizes.get(batch_id, {}).get(partition) or self._initial_sizer()
        return min(sizer.size, self.manifest.chunk_max)

    def max_in_flight(self, size: int) -> int:
        """How many items may be out when all chunks have this size."""
        return ceil(self.workers * self._supply(size))

    def is_full(self, priority: Priority) -> bool:
        """Whether nothing of this class may go out."""
        above = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return sum(self._supplied[p] for p in above) >= self.workers * _FULL_SHARE or self.limits.is_full(self.now)

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk, if the window is not full."""
        if partition in self.backoffs:
            return 0
        size = self.chunk_size(batch_id, partition)
        room, retry_at = self.limits.room(partition, size, self.now)
        if room <= 0 and retry_at != NEVER:
            self.backoffs[partition] = retry_at
        return room

    def chunk_rates(self, partition: str) -> ChunkRates | None:
        """What a worker has to know to start items of a partition at the right moment, if there is anything."""
        keys = self.limits.rate_keys(partition)
        return ChunkRates(keys=keys, share=1 / max(1, self.workers)) if keys else None

    def record_dispatched(self, chunk: PartitionChunk) -> None:
        """Items went out."""
        self._add(chunk, chunk.source.count)
        self.limits.record_dispatched(chunk.partition, chunk.source.count, self.now)

    def record_returned(self, chunk: PartitionChunk) -> None:
        """Items are back, whatever came of them."""
        self._add(chunk, -chunk.source.count)
        self.limits.record_returned(chunk.partition, chunk.source.count)

    def _add(self, chunk: PartitionChunk, count: int) -> None:
        self.in_flight += count
        self.in_flight_by_batch[chunk.batch_id] += count
        if self.in_flight_by_batch[chunk.batch_id] <= 0:
            del self.in_flight_by_batch[chunk.batch_id]
        self._update_supply((chunk.batch_id, chunk.partition, chunk.priority), count)

    def _update_supply(self, stream: _Stream, count: int = 0) -> None:
        """Count anew how many workers a lane's items supply, after their number or the size of chunks changed."""
        items, previous = self._streams.pop(stream, (0, 0.0))
        batch_id, partition, priority = stream
        if items + count:
            supplied = (items + count) / self._supply(self.chunk_size(batch_id, partition))
            self._streams[stream] = (items + count, supplied)
        else:
            supplied = 0.0
        self._supplied[priority] += supplied - previous
        if not self._streams:
            self._supplied[priority] = 0.0  # rounding leaves nothing behind

    def _supply(self, size: int) -> int:
        """Items in chunks of this size that keep one worker supplied."""
        concurrent = self.manifest.concurrency * (size if self.manifest.whole_chunks else 1)
        return max(_ITEMS_AHEAD * concurrent, _CHUNKS_AHEAD * size)

    def record_measurement(
        self, batch_id: UUID, partition: str, items: int, busy_s: float, outcomes: ChunkOutcomes | None = None
    ) -> None:
        """Learn from a report; `fate` is that of its chunk, where it says something."""
        sizes = self.sizes.setdefault(batch_id, {})
        target, cap, minimum = self.manifest.chunk_target_s, self.manifest.chunk_max, self.manifest.chunk_min
        previous = sizes.get(partition) or self._initial_sizer()
        sizer = previous if outcomes is None else previous.with_outcomes(outcomes)
        updated = sizes[partition] = sizer.with_measurement(items, busy_s, target, cap, minimum)
        self.last_size = updated.size
        if updated.size != previous.size:
            for priority in PRIORITIES:
                if (batch_id, partition, priority) in self._streams:
                    self._update_supply((batch_id, partition, priority))

    def _initial_sizer(self) -> ChunkSizer:
        """A batch begins where others of its workload are, but with hardly more items in a chunk than a worker runs at
        once: should they take longer this time, none of them waits long for another."""
        size = (
            INITIAL_SIZE
            if self.last_size is None
            else min(self.last_size, max(INITIAL_SIZE, self.manifest.concurrency))
        )
        return ChunkSizer(max(size, min(self.manifest.chunk_min, self.manifest.chunk_max)))

    def record_feedback(
        self, partition: str, feedback: DestinationFeedback, sent_at: float, now: float
    ) -> list[tuple[Limiter, RateChange]]:
        """How a destination bore items that were given out then; the rates that change."""
        version = self.version_at(now)
        limiters = self.limits.limiters_of(partition)
        others = (
            feedback if feedback.remaining is None else feedback.model_copy(update={"remaining": None})
        )  # it spoke for itself
        feedbacks = [feedback, *[others] * (len(limiters) - 1)]
        changes = [
            (limiter, change)
            for limiter, felt in zip(limiters, feedbacks, strict=True)
            if (change := limiter.record_feedback(felt, sent_at, version, now)) is not None
        ]
        if changes:
            self.backoffs.clear()
        return changes

    def record_refusal(self, partition: str, error: ItemError, now: float) -> Limiter | None:
        """A provider refused for a cause of its own: its limiter, if that opened its circuit."""
        limiter, rule = self.limits.limiters_of(partition)[0], self.limits.rule_of(partition)
        return limiter if rule is not None and limiter.circuit.record_refusal(error, rule, now) else None

    def record_success(self, partition: str) -> Limiter | None:
        """A provider answered: its limiter, if that closed its circuit."""
        limiter = self.limits.limiters_of(partition)[0]
        if not limiter.circuit.record_success():
            return None
        self.backoffs.clear()
        return limiter

    def forget_batch(self, batch_id: UUID) -> None:
        """A batch has ended."""
        self.sizes.pop(batch_id, None)

    def is_adaptive(self, partition: str) -> bool:
        """Whether the rate of a partition adapts to its destination."""
        return self.limits.limiters_of(partition)[0].adaptive_rate is not None

    def back_off(self, partition: str, until: float, reason: str = "") -> None:
        """Let nothing out before `until` that goes where the items of this partition go."""
        self.limits.limiters_of(partition)[0].back_off(until, reason)
        self.backoffs[partition] = max(until, self.backoffs.get(partition, until))

    def end_backoffs(self, now: float) -> float | None:
        """Let those go whose time has come; the next time that one's will, if any."""
        self.now = now
        self.limits.drop_idle(now)
        for partition in [p for p, until in self.backoffs.items() if until <= now]:
            del self.backoffs[partition]
        return min(self.backoffs.values(), default=None)

"""Keeps the number of items in flight near what the workers can run, in total and by partition.

The share of the window that an item takes depends on the chunk size of its batch. So a batch of short items, which may
have many more of them in flight, does not block a batch of long ones. Items of a lower priority take nothing from a
higher one, since workers run the higher one first: each priority finds room at once, and the total stays bounded.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, ItemError, Priority
from batchyard_contracts.v1.work import ChunkRates
from services.dispatcher.domain.rate_limiting.adaptive_rate import RateChange
from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS, clamp
from services.dispatcher.domain.rate_limiting.call_places import CallPlaces
from services.dispatcher.domain.rate_limiting.limit_set import LimitSet
from services.dispatcher.domain.rate_limiting.limiter import NEVER, Limiter
from services.dispatcher.domain.scheduling.chunk_sizer import INITIAL_SIZE, ChunkOutcomes, ChunkSizer
from services.dispatcher.domain.scheduling.parked_partitions import ParkedPartitions
from services.dispatcher.domain.scheduling.partition_queue import PageRange, RetryRange

_ITEMS_AHEAD = 2
"""Items in flight for each item that a worker can run at once: one runs and one is ready."""
_CHUNKS_AHEAD = 3
"""Minimum number of chunks in flight for each worker, so that small items keep it busy."""
_MAX_SIZES = 1000
"""Partitions of a batch whose chunk sizes are kept; the one that was measured least recently is forgotten."""
_FULL_SHARE = 1 - 1e-9
_KEPT_SHARE = 0.9
"""Share of `longest_item_s` that a report of shorter items leaves."""
_Stream = tuple[UUID, str, Priority]


class PartitionChunk(Protocol):
    """A chunk that is about to be dispatched or in flight."""

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
    """The items in flight of one workload, and how many may follow."""

    manifest: Manifest
    workers: float = 0
    """Number of workers; one with half or twice the manifest's concurrency counts as half or as two."""
    in_flight: int = 0
    in_flight_by_batch: Counter[UUID] = field(default_factory=Counter)
    sizes: dict[UUID, dict[str, ChunkSizer]] = field(default_factory=dict)
    """Chunk sizers by batch and partition; the size learned for one batch does not apply to another."""
    last_size: int | None = None
    """The size that was learned last, for any batch."""
    longest_item_s: float = math.inf
    """Duration of an item in the report with the longest items, in seconds. Reports with shorter ones reduce it little
    by little. Infinite until there was a report."""
    parked: ParkedPartitions = field(default_factory=ParkedPartitions)
    """Partitions that get nothing at present."""
    now: float = 0.0
    """The time of the last call of `end_backoffs`."""
    wall_clock_offset_s: float = 0.0
    """Difference between the caller's clock and the Unix time; rate versions are shared with other processes."""
    limits: LimitSet = field(init=False)
    calls: CallPlaces = field(init=False)
    _streams: dict[_Stream, tuple[int, float]] = field(default_factory=dict)
    """Items in flight and the number of workers that they supply."""
    _supplied: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, 0.0))
    """Number of workers supplied, by priority."""

    def __post_init__(self) -> None:
        self.limits = LimitSet(self.manifest)
        self.calls = CallPlaces(self.limits)

    def set_manifest(self, manifest: Manifest) -> None:
        """Apply a new or changed manifest."""
        self.manifest = manifest
        self.limits.set_manifest(manifest, self.version_at(self.now), self.now)
        self.parked.clear()

    def version_at(self, now: float) -> int:
        """Return the version of a rate set now. Later rates have higher versions, also across dispatchers."""
        return round((self.wall_clock_offset_s + now) * 1000)

    def chunk_size(self, batch_id: UUID, partition: str) -> int:
        """Return the current number of items in a chunk."""
        sizer = self.sizes.get(batch_id, {}).get(partition) or self._initial_sizer()
        return min(sizer.size, self.manifest.chunk_max)

    def max_in_flight(self, size: int) -> int:
        """Return how many items may be in flight when all chunks have this size."""
        return math.ceil(self.workers * self._supply(size))

    def in_flight_by_partition(self, batch_id: UUID) -> Counter[str]:
        """Return the number of items of a batch in flight by partition."""
        found: Counter[str] = Counter()
        for (batch, partition, _), (items, _) in self._streams.items():
            if batch == batch_id:
                found[partition] += items
        return found

    @property
    def is_supplied(self) -> bool:
        """True while the workers have as much as they can run, and so much again that none of them waits."""
        return 0 < self.workers * _FULL_SHARE <= sum(self._supplied.values())

    def is_full(self, priority: Priority) -> bool:
        """Tell whether no item of this priority may be dispatched."""
        above = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return sum(self._supplied[p] for p in above) >= self.workers * _FULL_SHARE or self.limits.is_full(self.now)

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Return how many items of a batch and partition may be dispatched as one chunk, if the window is not full."""
        if partition in self.parked.until:
            return 0
        size = self.chunk_size(batch_id, partition)
        room, retry_at = self.limits.room(partition, size, self.now)
        if room > 0:
            if partition in self.parked.awaited:
                self.parked.unpark(partition)
            return room
        if retry_at == NEVER:
            self.parked.park_until_return(partition, [t.key for t in self.limits.limiters_of(partition)])
        else:
            self.parked.park(partition, retry_at)
        return 0

    def chunk_rates(self, partition: str) -> ChunkRates | None:
        """Return the rates by which a worker times the items of a partition; None if there are none."""
        keys = self.limits.rate_keys(partition)
        return ChunkRates(keys=keys, share=1 / max(1, self.workers)) if keys else None

    def is_unlimited(self, partition: str) -> bool:
        """Tell whether no rate applies to the items of a partition."""
        return not self.limits.rate_keys(partition)

    def record_dispatched(self, chunk: PartitionChunk) -> None:
        """Count a chunk as in flight."""
        self._add(chunk, chunk.source.count)
        self.limits.record_dispatched(chunk.partition, chunk.source.count, self.now)

    def record_returned(self, chunk: PartitionChunk) -> None:
        """Count a chunk as no longer in flight, with whatever result."""
        self._add(chunk, -chunk.source.count)
        self.limits.record_returned(chunk.partition, chunk.source.count)
        if self.parked.awaited:
            self.parked.record_return(t.key for t in self.limits.limiters_of(chunk.partition))

    def end_call(self, call_id: UUID) -> None:
        """End a call that belongs to no batch; partitions that wait for its place get their turn."""
        if (partition := self.calls.end(call_id)) is not None:
            self.parked.record_return(t.key for t in self.limits.limiters_of(partition))

    def _add(self, chunk: PartitionChunk, count: int) -> None:
        self.in_flight += count
        self.in_flight_by_batch[chunk.batch_id] += count
        if self.in_flight_by_batch[chunk.batch_id] <= 0:
            del self.in_flight_by_batch[chunk.batch_id]
        self._update_supply((chunk.batch_id, chunk.partition, chunk.priority), count)

    def _update_supply(self, stream: _Stream, count: int = 0) -> None:
        """Update the number of workers that a stream supplies after its item count or the chunk size changed."""
        items, previous = self._streams.pop(stream, (0, 0.0))
        batch_id, partition, priority = stream
        if items + count:
            supplied = (items + count) / self._supply(self.chunk_size(batch_id, partition))
            self._streams[stream] = (items + count, supplied)
        else:
            supplied = 0.0
        self._supplied[priority] += supplied - previous
        if not self._streams:
            self._supplied[priority] = 0.0  # removes the rounding error

    def _supply(self, size: int) -> int:
        """Return how many items in chunks of this size keep one worker supplied."""
        concurrent = self.manifest.concurrency * (size if self.manifest.whole_chunks else 1)
        return max(_ITEMS_AHEAD * concurrent, _CHUNKS_AHEAD * size)

    def record_measurement(
        self, batch_id: UUID, partition: str, items: int, busy_s: float, outcomes: ChunkOutcomes | None = None
    ) -> None:
        """Update the chunk size after a report; `outcomes` is None if its failures do not count."""
        sizes = self.sizes.setdefault(batch_id, {})
        target, cap, minimum = self.manifest.chunk_target_s, self.manifest.chunk_max, self.manifest.chunk_min
        previous = sizes.get(partition) or self._initial_sizer()
        sizer = previous if outcomes is None else previous.with_outcomes(outcomes)
        sizes.pop(partition, None)
        updated = sizes[partition] = sizer.with_measurement(items, busy_s, target, cap, minimum)
        if len(sizes) > _MAX_SIZES:
            del sizes[next(iter(sizes))]
        self.last_size = updated.size
        if items:
            seconds = clamp(busy_s, 0.0, MAX_SECONDS) / items
            kept = 0.0 if self.longest_item_s == math.inf else self.longest_item_s * _KEPT_SHARE
            self.longest_item_s = max(seconds, kept)
        if updated.size != previous.size:
            for priority in PRIORITIES:
                if (batch_id, partition, priority) in self._streams:
                    self._update_supply((batch_id, partition, priority))

    def _initial_sizer(self) -> ChunkSizer:
        """Return the sizer of a new batch: the size that was learned last, but hardly more items than a worker runs at
        once.

        If the items of this batch take longer, none of them then waits long for another.
        """
        size = (
            INITIAL_SIZE
            if self.last_size is None
            else min(self.last_size, max(INITIAL_SIZE, self.manifest.concurrency))
        )
        return ChunkSizer(max(size, min(self.manifest.chunk_min, self.manifest.chunk_max)))

    def record_feedback(
        self, partition: str, feedback: DestinationFeedback, sent_at: float, now: float
    ) -> list[tuple[Limiter, RateChange]]:
        """Feed measurements of a destination to its limiters; returns those whose rate changed. `sent_at` is the time
        at which the chunk was dispatched."""
        changes = self.limits.record_feedback(partition, feedback, sent_at, self.version_at(now), now)
        if changes and len(self.limits.names) == 1:
            self.parked.unpark(partition)
        elif changes:  # others go through the same limiters
            self.parked.clear()
        return changes

    def record_refusal(self, partition: str, error: ItemError, now: float) -> Limiter | None:
        """Record that a provider refused a call for a reason of its own; returns its limiter if that opened the
        circuit."""
        limiter, rule = self.limits.limiters_of(partition)[0], self.limits.rule_of(partition)
        return limiter if rule is not None and limiter.circuit.record_refusal(error, rule, now) else None

    def record_success(self, partition: str) -> Limiter | None:
        """Record that a provider answered; returns its limiter if that closed the circuit."""
        limiter = self.limits.limiters_of(partition)[0]
        if not limiter.circuit.record_success():
            return None
        self.parked.clear()
        return limiter

    def forget_batch(self, batch_id: UUID) -> None:
        """Forget the chunk sizes of a batch that has ended."""
        self.sizes.pop(batch_id, None)

    def is_adaptive(self, partition: str) -> bool:
        """Tell whether the rate of a partition is adaptive."""
        return self.limits.limiters_of(partition)[0].adaptive_rate is not None

    def back_off(self, partition: str, until: float, reason: str = "") -> None:
        """Dispatch nothing to the destination of this partition before `until`."""
        self.limits.back_off(partition, until, reason)
        self.parked.park(partition, until)

    def end_backoffs(self, now: float) -> float | None:
        """End the backoffs that are over; returns the time at which the next one ends, or a limit of the whole workload
        allows an item again; None if there is neither."""
        self.now = now
        for partition in self.calls.end_expired(now):
            self.parked.record_return(t.key for t in self.limits.limiters_of(partition))
        self.limits.drop_idle(now)
        times = (self.parked.end_due(now), self.limits.opens_at(now))
        return min((at for at in times if at is not None), default=None)

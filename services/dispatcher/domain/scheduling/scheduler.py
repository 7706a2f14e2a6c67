"""Chooses which items of one workload go out next.

Priority class first (with a small share kept for `low`), then owners by their weights, then their batches by theirs,
then the batch's partitions in turn: so the hosts of a batch interleave, a large batch cannot shut out a small one, and
an owner with many batches gets no more than one with few. Shares are counted in items, since chunks differ in size.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES, Priority
from services.dispatcher.domain.scheduling.fair_queue import FairQueue

LOW_SHARE = 20
"""One item of so many is a `low` one, if any waits."""


@dataclass(slots=True)
class PageSlice:
    """Items of one page segment that were not given out: those from `taken` to `size`."""

    page: int
    segment: int
    size: int
    taken: int = 0


@dataclass(frozen=True, slots=True)
class PageRange:
    """Items taken from a slice."""

    page: int
    segment: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class RetryRange:
    """Items that are to run again, all in the same attempt."""

    attempt: int
    ordinals: tuple[int, ...]
    quarantined: bool = False
    """They ran in quarantine before."""

    @property
    def count(self) -> int:
        """How many items."""
        return len(self.ordinals)


@dataclass(frozen=True, slots=True)
class Pick:
    """What goes out next as one chunk."""

    batch_id: UUID
    partition: str
    priority: Priority
    source: PageRange | RetryRange


@dataclass(slots=True)
class PartitionQueue:
    """The waiting items of one batch for one partition. Lists, since most lanes are short and there may be many."""

    slices: list[PageSlice] = field(default_factory=list)
    retries: list[RetryRange] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.slices or self.retries)

    def take(self, limit: int) -> PageRange | RetryRange:
        """Take up to `most` items; what is to run again goes first."""
        if self.retries:
            first = self.retries[0]
            if first.count > limit:
                self.retries[0] = replace(first, ordinals=first.ordinals[limit:])
                return replace(first, ordinals=first.ordinals[:limit])
            return self.retries.pop(0)
        head = self.slices[0]
        count = min(limit, head.size - head.taken)
        taken = PageRange(head.page, head.segment, head.taken, count)
        head.taken += count
        if head.taken == head.size:
            self.slices.pop(0)
        return taken


class BatchQueue:
    """A batch's lanes, which take turns."""

    def __init__(self, batch_id: UUID, owner: str, priority: Priority, weight: int = 1) -> None:
        self.batch_id = batch_id
        self.owner = owner
        self.priority: Priority = priority
        self.weight = weight
        self.partition_queues: OrderedDict[str, PartitionQueue] = OrderedDict()
        self.wake: Callable[[BatchQueue], object] = lambda _: None
        """Called when there may be something to pick."""
        self._paused = False

    @property
    def paused(self) -> bool:
        """Whether nothing of it may go out."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        self.wake(self)

    @property
    def is_ready(self) -> bool:
        """Whether it has anything that may go out."""
        return bool(self.partition_queues) and not self._paused

    def partition_queue(self, partition: str) -> PartitionQueue:
        """The lane of a partition, made when needed, to be filled."""
        queue = self.partition_queues.get(partition)
        if queue is None:
            queue = self.partition_queues[partition] = PartitionQueue()
            self.wake(self)
        return queue

    def pick(self, budget: "DispatchBudget") -> Pick | None:
        """Take a chunk from the first lane that may go now."""
        if (batch_limit := budget.batch_limit(self.batch_id)) <= 0:
            return None
        for partition, queue in self.partition_queues.items():
            limit = min(batch_limit, budget.partition_limit(self.batch_id, partition))
            if limit <= 0 or not queue:
                continue
            source = queue.take(limit)
            if queue:
                self.partition_queues.move_to_end(partition)
            else:
                del self.partition_queues[partition]
            return Pick(self.batch_id, partition, self.priority, source)
        return None


class DispatchBudget(Protocol):
    """How many items of a batch and partition may go out at once now. The scheduler only asks."""

    def is_full(self, priority: Priority) -> bool:
        """Whether nothing of a class may go out, so that asking for each of its partitions is vain."""

    def batch_limit(self, batch_id: UUID) -> int:
        """The most for any partition of a batch; 0: none now."""

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """0: none now."""


OwnerQueue = FairQueue[UUID, BatchQueue]


class Scheduler:
    """The waiting batches of one workload. Only those with something to pick stand in line."""

    def __init__(self, owner_weights: Mapping[str, float] | None = None) -> None:
        self._owner_weights = owner_weights or {}
        self._batches: dict[UUID, BatchQueue] = {}
        self._owners: dict[Priority, FairQueue[str, OwnerQueue]] = {p: FairQueue() for p in PRIORITIES}
        self._low_credit = 0.0
        """Items that went out since `low` had its share, at most as many as give it the next turn."""
        self._low_was_first = False

    def __len__(self) -> int:
        return len(self._batches)

    def batch_queue(self, batch_id: UUID) -> BatchQueue | None:
        """The queue of a batch that has joined."""
        return self._batches.get(batch_id)

    def add_batch(self, queue: BatchQueue) -> None:
        """Add a batch; its items may follow."""
        self._batches[queue.batch_id] = queue
        queue.wake = self._enqueue
        self._enqueue(queue)

    def remove_batch(self, batch_id: UUID) -> BatchQueue | None:
        """Remove a batch with all that waits."""
        queue = self._batches.pop(batch_id, None)
        if queue is not None:
            queue.wake = lambda _: None
            self._dequeue(queue)
        return queue

    def reprioritize(self, batch_id: UUID, priority: Priority) -> None:
        """Move a batch to another class."""
        if queue := self.remove_batch(batch_id):
            queue.priority = priority
            self.add_batch(queue)

    def set_weight(self, batch_id: UUID, weight: int) -> None:
        """Give a batch another share among those of its owner."""
        if queue := self._batches.get(batch_id):
            queue.weight = weight
            if batches := self._owners[queue.priority].get(queue.owner):
                batches.set_weight(batch_id, weight)

    def pick(self, budget: DispatchBudget) -> Pick | None:
        """Take the next chunk, or None when nothing may go now."""
        low_first = self._low_credit >= LOW_SHARE - 1
        for priority in ("low", *PRIORITIES) if low_first else PRIORITIES:
            if not budget.is_full(priority) and (pick := self._pick_class(priority, budget)):
                self._low_was_first = low_first and priority == "low"
                self._charge(pick, pick.source.count)
                return pick
        return None

    def _charge(self, pick: Pick, count: int) -> None:
        if self._low_was_first:
            self._low_credit -= count * (LOW_SHARE - 1)
        elif pick.priority != "low":
            self._low_credit = min(self._low_credit + count, LOW_SHARE - 1) if self._owners["low"] else 0.0
        owner = self._batches[pick.batch_id].owner
        owners = self._owners[pick.priority]
        if batches := owners.get(owner):
            owners.charge(owner, count)
            batches.charge(pick.batch_id, count)

    def _pick_class(self, priority: Priority, budget: DispatchBudget) -> Pick | None:
        idle: list[BatchQueue] = []
        try:
            for _, batches in self._owners[priority]:
                for _, queue in batches:
                    if not queue.is_ready:
                        idle.append(queue)
                    elif pick := queue.pick(budget):
                        return pick
            return None
        finally:
            for queue in idle:
                self._dequeue(queue)

    def _enqueue(self, queue: BatchQueue) -> None:
        if queue.is_ready:
            owners = self._owners[queue.priority]
            weight = self._owner_weights.get(queue.owner, 1.0)
            owners.add(queue.owner, owners.get(queue.owner) or FairQueue(), weight).add(
                queue.batch_id, queue, queue.weight
            )

    def _dequeue(self, queue: BatchQueue) -> None:
        owners = self._owners[queue.priority]
        if batches := owners.get(queue.owner):
            batches.remove(queue.batch_id)
            if not len(batches):
                owners.remove(queue.owner)

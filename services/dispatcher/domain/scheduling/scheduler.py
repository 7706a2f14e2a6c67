"""Chooses which items of one workload are dispatched next.

The priority decides first (with a small share reserved for `low`), then the owners' weights, then the weights of the
owner's batches; the partitions of a batch take turns. So the hosts of a batch interleave, a large batch does not block
a small one, and an owner with many batches gets no more than one with few. Shares are counted in items, since chunks
differ in size.

A batch for which a computation fails is set aside, so that it holds up no other. It is tried again after its next
control.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES, Priority
from services.dispatcher.domain.scheduling.fair_queue import FairQueue

LOW_SHARE = 20
"""One item in this many is a `low` one, if any waits."""


@dataclass(slots=True)
class PageSlice:
    """The items of one page segment that are not dispatched yet: positions `taken` to `size`."""

    page: int
    segment: int
    size: int
    taken: int = 0


@dataclass(frozen=True, slots=True)
class PageRange:
    """Items that were taken from a page slice."""

    page: int
    segment: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class RetryRange:
    """Items that are retried together, all in the same attempt."""

    attempt: int
    ordinals: tuple[int, ...]
    quarantined: bool = False
    """True if the items ran in quarantine before."""

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.ordinals)


@dataclass(frozen=True, slots=True)
class Pick:
    """The choice of the scheduler: items of one batch and partition that form the next chunk."""

    batch_id: UUID
    partition: str
    priority: Priority
    source: PageRange | RetryRange


@dataclass(slots=True)
class PartitionQueue:
    """The waiting items of one batch for one partition. Plain lists, since most queues are short and many."""

    slices: list[PageSlice] = field(default_factory=list)
    retries: list[RetryRange] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.slices or self.retries)

    def take(self, limit: int) -> PageRange | RetryRange:
        """Take up to `limit` items; retries go first."""
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

    def put_back(self, taken: PageRange | RetryRange) -> None:
        """Put items back that were taken last."""
        if isinstance(taken, RetryRange):
            self.retries.insert(0, taken)
        else:
            self.slices.insert(0, PageSlice(taken.page, taken.segment, taken.first + taken.count, taken.first))


class BatchQueue:
    """The waiting items of one batch; its partition queues take turns."""

    def __init__(self, batch_id: UUID, owner: str, priority: Priority, weight: int = 1) -> None:
        self.batch_id = batch_id
        self.owner = owner
        self.priority: Priority = priority
        self.weight = weight
        self.partition_queues: OrderedDict[str, PartitionQueue] = OrderedDict()
        self.wake: Callable[[BatchQueue], object] = lambda _: None
        """Callback that runs when the queue may have become ready."""
        self._paused = False

    @property
    def paused(self) -> bool:
        """True if no item of the batch may be dispatched."""
        return self._paused

    def pause(self) -> None:
        """Hold its items back."""
        self._paused = True
        self.wake(self)

    def resume(self) -> None:
        """Let its items go out again."""
        self._paused = False
        self.wake(self)

    @property
    def is_ready(self) -> bool:
        """True if the batch has items that may be dispatched."""
        return bool(self.partition_queues) and not self._paused

    def partition_queue(self, partition: str) -> PartitionQueue:
        """Return the queue of a partition, created if it is missing. The caller adds items to it at once."""
        queue = self.partition_queues.get(partition)
        if queue is None:
            queue = self.partition_queues[partition] = PartitionQueue()
            self.wake(self)
        return queue

    def pick(self, budget: "DispatchBudget") -> Pick | None:
        """Take a chunk from the first partition queue that the budget allows; None if there is none."""
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
    """The number of items that may be dispatched now. The scheduler only reads it."""

    def is_full(self, priority: Priority) -> bool:
        """Tell whether no item of a priority may be dispatched, which saves asking for each partition."""

    def batch_limit(self, batch_id: UUID) -> int:
        """Return the largest chunk of a batch for any of its partitions; 0: none now."""

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Return the largest chunk of a batch for one partition; 0: none now."""


OwnerQueue = FairQueue[UUID, BatchQueue]


class Scheduler:
    """The waiting batches of one workload. Only batches with items to pick are in the fair queues."""

    def __init__(self, owner_weights: Mapping[str, float] | None = None) -> None:
        self._owner_weights = owner_weights or {}
        self._batches: dict[UUID, BatchQueue] = {}
        self._owners: dict[Priority, FairQueue[str, OwnerQueue]] = {p: FairQueue() for p in PRIORITIES}
        self._low_credit = 0.0
        """Items of other priorities dispatched since `low` had its share, capped at the number that gives `low` the
        next turn."""
        self._low_was_first = False
        self._set_aside: list[tuple[UUID, Exception]] = []

    def __len__(self) -> int:
        return len(self._batches)

    def batch_queue(self, batch_id: UUID) -> BatchQueue | None:
        """Return the queue of a batch; None if the batch was not added."""
        return self._batches.get(batch_id)

    def add_batch(self, queue: BatchQueue) -> None:
        """Add a batch. Its items may follow later."""
        self._batches[queue.batch_id] = queue
        queue.wake = self._enqueue
        self._enqueue(queue)

    def remove_batch(self, batch_id: UUID) -> BatchQueue | None:
        """Remove a batch with all its waiting items; returns its queue."""
        queue = self._batches.pop(batch_id, None)
        if queue is not None:
            queue.wake = lambda _: None
            self._dequeue(queue)
        return queue

    def reprioritize(self, batch_id: UUID, priority: Priority) -> None:
        """Move a batch to another priority."""
        if queue := self.remove_batch(batch_id):
            queue.priority = priority
            self.add_batch(queue)

    def set_weight(self, batch_id: UUID, weight: int) -> None:
        """Change the weight of a batch among the batches of its owner."""
        if queue := self._batches.get(batch_id):
            queue.weight = weight
            if batches := self._owners[queue.priority].get(queue.owner):
                batches.set_weight(batch_id, weight)

    def pick(self, budget: DispatchBudget) -> Pick | None:
        """Take the next chunk; None if the budget allows none now."""
        low_first = self._low_credit >= LOW_SHARE - 1
        for priority in ("low", *PRIORITIES) if low_first else PRIORITIES:
            if not budget.is_full(priority) and (pick := self._pick_class(priority, budget)):
                self._low_was_first = low_first and priority == "low"
                self._charge(pick, pick.source.count)
                return pick
        return None

    def undo(self, pick: Pick, error: Exception) -> None:
        """Put a picked chunk back and set its batch aside, since counting the chunk has failed."""
        queue = self._batches[pick.batch_id]
        queue.partition_queue(pick.partition).put_back(pick.source)
        self._set_batch_aside(queue, error)

    def take_set_aside(self) -> list[tuple[UUID, Exception]]:
        """Return the batches that were set aside since the last call, each with its error."""
        taken, self._set_aside = self._set_aside, []
        return taken

    def _set_batch_aside(self, queue: BatchQueue, error: Exception) -> None:
        queue.pause()
        self._set_aside.append((queue.batch_id, error))

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
                        continue
                    try:
                        pick = queue.pick(budget)
                    except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                        self._set_batch_aside(queue, error)
                        idle.append(queue)
                        continue
                    if pick:
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

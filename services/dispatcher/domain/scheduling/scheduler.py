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
from services.dispatcher.domain.scheduling.fair_queue import FairLine

LOW_SHARE = 20
"""One item of so many is a `low` one, if any waits."""


@dataclass(slots=True)
class Slice:
    """Items of one page segment that were not given out: those from `taken` to `size`."""

    page: int
    segment: int
    size: int
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """Items taken from a slice."""

    page: int
    segment: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Again:
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
    source: Range | Again


@dataclass(slots=True)
class Lane:
    """The waiting items of one batch for one partition. Lists, since most lanes are short and there may be many."""

    slices: list[Slice] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.slices or self.again)

    def take(self, most: int) -> Range | Again:
        """Take up to `most` items; what is to run again goes first."""
        if self.again:
            first = self.again[0]
            if first.count > most:
                self.again[0] = replace(first, ordinals=first.ordinals[most:])
                return replace(first, ordinals=first.ordinals[:most])
            return self.again.pop(0)
        head = self.slices[0]
        count = min(most, head.size - head.taken)
        taken = Range(head.page, head.segment, head.taken, count)
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
        self.lanes: OrderedDict[str, Lane] = OrderedDict()
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
    def ready(self) -> bool:
        """Whether it has anything that may go out."""
        return bool(self.lanes) and not self._paused

    def lane(self, partition: str) -> Lane:
        """The lane of a partition, made when needed, to be filled."""
        lane = self.lanes.get(partition)
        if lane is None:
            lane = self.lanes[partition] = Lane()
            self.wake(self)
        return lane

    def pick(self, sizes: "Sizes") -> Pick | None:
        """Take a chunk from the first lane that may go now."""
        if (most_of_batch := sizes.of_batch(self.batch_id)) <= 0:
            return None
        for partition, lane in self.lanes.items():
            most = min(most_of_batch, sizes.allowed(self.batch_id, partition))
            if most <= 0 or not lane:
                continue
            source = lane.take(most)
            if lane:
                self.lanes.move_to_end(partition)
            else:
                del self.lanes[partition]
            return Pick(self.batch_id, partition, self.priority, source)
        return None


class Sizes(Protocol):
    """How many items of a batch and partition may go out at once now. The scheduler only asks."""

    def full(self, priority: Priority) -> bool:
        """Whether nothing of a class may go out, so that asking for each of its partitions is vain."""

    def of_batch(self, batch_id: UUID) -> int:
        """The most for any partition of a batch; 0: none now."""

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """0: none now."""


Batches = FairLine[UUID, BatchQueue]


class Scheduler:
    """The waiting batches of one workload. Only those with something to pick stand in line."""

    def __init__(self, owner_weights: Mapping[str, float] | None = None) -> None:
        self._owner_weights = owner_weights or {}
        self._batches: dict[UUID, BatchQueue] = {}
        self._line: dict[Priority, FairLine[str, Batches]] = {p: FairLine() for p in PRIORITIES}
        self._low_due = 0.0
        """Items that went out since `low` had its share, at most as many as give it the next turn."""
        self._low_went_ahead = False

    def __len__(self) -> int:
        return len(self._batches)

    def batch(self, batch_id: UUID) -> BatchQueue | None:
        """The queue of a batch that has joined."""
        return self._batches.get(batch_id)

    def join(self, queue: BatchQueue) -> None:
        """Add a batch; its items may follow."""
        self._batches[queue.batch_id] = queue
        queue.wake = self._stand_in_line
        self._stand_in_line(queue)

    def leave(self, batch_id: UUID) -> BatchQueue | None:
        """Remove a batch with all that waits."""
        queue = self._batches.pop(batch_id, None)
        if queue is not None:
            queue.wake = lambda _: None
            self._step_out(queue)
        return queue

    def reprioritize(self, batch_id: UUID, priority: Priority) -> None:
        """Move a batch to another class."""
        if queue := self.leave(batch_id):
            queue.priority = priority
            self.join(queue)

    def weigh(self, batch_id: UUID, weight: int) -> None:
        """Give a batch another share among those of its owner."""
        if queue := self._batches.get(batch_id):
            queue.weight = weight
            if batches := self._line[queue.priority].get(queue.owner):
                batches.weigh(batch_id, weight)

    def pick(self, sizes: Sizes) -> Pick | None:
        """Take the next chunk, or None when nothing may go now."""
        low_first = self._low_due >= LOW_SHARE - 1
        for priority in ("low", *PRIORITIES) if low_first else PRIORITIES:
            if not sizes.full(priority) and (pick := self._pick_class(priority, sizes)):
                self._low_went_ahead = low_first and priority == "low"
                self._charge(pick, pick.source.count)
                return pick
        return None

    def _charge(self, pick: Pick, count: int) -> None:
        if self._low_went_ahead:
            self._low_due -= count * (LOW_SHARE - 1)
        elif pick.priority != "low":
            self._low_due = min(self._low_due + count, LOW_SHARE - 1) if self._line["low"] else 0.0
        owner = self._batches[pick.batch_id].owner
        owners = self._line[pick.priority]
        if batches := owners.get(owner):
            owners.served(owner, count)
            batches.served(pick.batch_id, count)

    def _pick_class(self, priority: Priority, sizes: Sizes) -> Pick | None:
        idle: list[BatchQueue] = []
        try:
            for _, batches in self._line[priority]:
                for _, queue in batches:
                    if not queue.ready:
                        idle.append(queue)
                    elif pick := queue.pick(sizes):
                        return pick
            return None
        finally:
            for queue in idle:
                self._step_out(queue)

    def _stand_in_line(self, queue: BatchQueue) -> None:
        if queue.ready:
            owners = self._line[queue.priority]
            weight = self._owner_weights.get(queue.owner, 1.0)
            owners.add(queue.owner, owners.get(queue.owner) or FairLine(), weight).add(
                queue.batch_id, queue, queue.weight
            )

    def _step_out(self, queue: BatchQueue) -> None:
        owners = self._line[queue.priority]
        if batches := owners.get(queue.owner):
            batches.remove(queue.batch_id)
            if not len(batches):
                owners.remove(queue.owner)

"""Chooses which items of one workload go out next.

Priority class first (with a small share kept for `low`), then owners in turn, then their batches in turn, then the
batch's partitions in turn: so the hosts of a batch interleave, a large batch cannot shut out a small one, and an
owner with many batches gets no more than one with few.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES, Priority

LOW_SHARE = 20
"""Every so manieth chunk is a `low` one, if any waits."""

K = TypeVar("K")
V = TypeVar("V")


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
                self.again[0] = Again(first.attempt, first.ordinals[most:])
                return Again(first.attempt, first.ordinals[:most])
            return self.again.pop(0)
        head = self.slices[0]
        count = min(most, head.size - head.taken)
        taken = Range(head.page, head.segment, head.taken, count)
        head.taken += count
        if head.taken == head.size:
            self.slices.pop(0)
        return taken

    def put_back(self, source: Range | Again) -> None:
        """Undo the last `take`, in whole or in its last part."""
        if isinstance(source, Again):
            self.again.insert(0, source)
        elif self.slices and (head := self.slices[0]).page == source.page and head.segment == source.segment:
            head.taken -= source.count
        else:
            self.slices.insert(0, Slice(source.page, source.segment, source.first + source.count, source.first))


class Turns(Generic[K, V]):
    """Things that take turns: who was served goes to the end of the line."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: K) -> V | None:
        """The thing under this key."""
        return self._by_key.get(key)

    def add(self, key: K, value: V) -> V:
        """Join at the end of the line."""
        self._by_key[key] = value
        return value

    def remove(self, key: K) -> V | None:
        """Leave the line."""
        return self._by_key.pop(key, None)

    def served(self, key: K) -> None:
        """Go to the end of the line."""
        self._by_key.move_to_end(key)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._by_key.items())


class BatchQueue:
    """A batch's lanes, which take turns."""

    def __init__(self, batch_id: UUID, owner: str, priority: Priority) -> None:
        self.batch_id = batch_id
        self.owner = owner
        self.priority: Priority = priority
        self.paused = False
        self.lanes: Turns[str, Lane] = Turns()

    def lane(self, partition: str) -> Lane:
        """The lane of a partition, made when needed."""
        return self.lanes.get(partition) or self.lanes.add(partition, Lane())

    def pick(self, sizes: "Sizes") -> Pick | None:
        """Take a chunk from the first lane that may go now."""
        for partition, lane in self.lanes:
            most = sizes.allowed(self.batch_id, partition)
            if most <= 0:
                continue
            source = lane.take(most)
            if lane:
                self.lanes.served(partition)
            else:
                self.lanes.remove(partition)
            return Pick(self.batch_id, partition, self.priority, source)
        return None


class Sizes(Protocol):
    """How many items of a batch and partition may go out at once now. The scheduler only asks."""

    @property
    def full(self) -> bool:
        """Whether nothing may go out of any partition, so that asking for each of them is vain."""

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """0: none now."""


class Scheduler:
    """The waiting batches of one workload."""

    def __init__(self) -> None:
        self._batches: dict[UUID, BatchQueue] = {}
        self._line: dict[Priority, Turns[str, Turns[UUID, BatchQueue]]] = {p: Turns() for p in PRIORITIES}
        self._picks = 0

    def __len__(self) -> int:
        return len(self._batches)

    def batch(self, batch_id: UUID) -> BatchQueue | None:
        """The queue of a batch that has joined."""
        return self._batches.get(batch_id)

    def join(self, queue: BatchQueue) -> None:
        """Add a batch; its items may follow."""
        self._batches[queue.batch_id] = queue
        line = self._line[queue.priority]
        (line.get(queue.owner) or line.add(queue.owner, Turns())).add(queue.batch_id, queue)

    def leave(self, batch_id: UUID) -> BatchQueue | None:
        """Remove a batch with all that waits."""
        queue = self._batches.pop(batch_id, None)
        if queue is not None:
            self._forget(queue)
        return queue

    def reprioritize(self, batch_id: UUID, priority: Priority) -> None:
        """Move a batch to another class."""
        if queue := self.leave(batch_id):
            queue.priority = priority
            self.join(queue)

    def pick(self, sizes: Sizes) -> Pick | None:
        """Take the next chunk, or None when nothing may go now."""
        if sizes.full:
            return None
        order = PRIORITIES
        if (self._picks + 1) % LOW_SHARE == 0:
            order = ("low", "immediate", "normal")
        for priority in order:
            if pick := self._pick_class(priority, sizes):
                self._picks += 1
                return pick
        return None

    def _pick_class(self, priority: Priority, sizes: Sizes) -> Pick | None:
        owners = self._line[priority]
        for owner, batches in owners:
            for batch_id, queue in batches:
                if queue.paused:
                    continue
                if pick := queue.pick(sizes):
                    batches.served(batch_id)
                    owners.served(owner)
                    return pick
        return None

    def _forget(self, queue: BatchQueue) -> None:
        owners = self._line[queue.priority]
        if batches := owners.get(queue.owner):
            batches.remove(queue.batch_id)
            if not len(batches):
                owners.remove(queue.owner)

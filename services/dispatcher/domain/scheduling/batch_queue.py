"""The waiting items of one batch in memory: the queues of its partitions, which take turns.

A partition that the budget allows nothing is parked: it takes no turn until it is unparked. What does not fit in memory
waits in the table (`Backlog`).
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.scheduling.backlog import PASS_PAUSE_S, PAUSE_PER_SEGMENT_S, Backlog, SegmentKey
from services.dispatcher.domain.scheduling.partition_queue import PageRange, PageSlice, PartitionQueue, RetryRange

_MIN_SLICES = 16
"""Slices of one partition that are always read, however many partitions there are."""


@dataclass(frozen=True, slots=True)
class Pick:
    """The choice of the scheduler: items of one batch and partition that form the next chunk."""

    batch_id: UUID
    partition: str
    priority: Priority
    source: PageRange | RetryRange


class DispatchBudget(Protocol):
    """The number of items that may be dispatched now. The scheduler only reads it."""

    def is_full(self, priority: Priority) -> bool:
        """Tell whether no item of a priority may be dispatched, which saves asking for each partition."""

    def batch_limit(self, batch_id: UUID) -> int:
        """Return the largest chunk of a batch for any of its partitions; 0: none now."""

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Return the largest chunk of a batch for one partition; 0: none before the partition is unparked."""


class BatchQueue:
    """The waiting items of one batch; the queues of its partitions take turns."""

    def __init__(self, batch_id: UUID, owner: str, priority: Priority, weight: int = 1) -> None:
        self.batch_id = batch_id
        self.owner = owner
        self.priority: Priority = priority
        self.weight = weight
        self.partition_queues: dict[str, PartitionQueue] = {}
        self.backlog = Backlog()
        self.wake: Callable[[BatchQueue], object] = lambda _: None
        """Callback that runs when the queue may have become ready, or has more in the table."""
        self.park: Callable[[str, BatchQueue], object] = lambda *_: None
        """Callback that runs when a partition is parked."""
        self._turns: OrderedDict[str, PartitionQueue] = OrderedDict()
        """Queues of the partitions that are not parked, in the order of their turns."""
        self._paused = False
        self._few = 0
        """Number of partitions below which more is read from the table."""

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
        return bool(self._turns) and not self._paused

    @property
    def slice_count(self) -> int:
        """Number of page slices in memory."""
        return sum(len(queue.slices) for queue in self.partition_queues.values())

    def partition_queue(self, partition: str) -> PartitionQueue:
        """Return the queue of a partition, created if it is missing. The caller adds items to it at once."""
        queue = self.partition_queues.get(partition)
        if queue is None:
            queue = self.partition_queues[partition] = self._turns[partition] = PartitionQueue()
            self.wake(self)
        return queue

    def pick(self, budget: DispatchBudget) -> Pick | None:
        """Take a chunk from the first partition that the budget allows, and park those before it; None if there is
        none."""
        if (batch_limit := budget.batch_limit(self.batch_id)) <= 0:
            return None
        blocked: list[str] = []
        picked: Pick | None = None
        for partition, queue in self._turns.items():
            limit = budget.partition_limit(self.batch_id, partition)
            if limit <= 0:
                blocked.append(partition)
                continue
            picked = Pick(self.batch_id, partition, self.priority, queue.take(min(batch_limit, limit)))
            if queue:
                self._turns.move_to_end(partition)
            else:
                del self._turns[partition], self.partition_queues[partition]
            break
        for partition in blocked:
            del self._turns[partition]
            self.park(partition, self)
        return picked

    def unpark(self, partition: str) -> None:
        """Let a partition take turns again, behind the others."""
        queue = self.partition_queues.get(partition)
        if queue is not None and partition not in self._turns:
            self._turns[partition] = queue
            self.wake(self)

    def drop_partition(self, partition: str) -> PartitionQueue | None:
        """Remove the queue of a partition and return it; None if there is none."""
        self._turns.pop(partition, None)
        return self.partition_queues.pop(partition, None)

    def clear(self) -> None:
        """Forget all waiting items, also those in the table."""
        self._turns.clear()
        self.partition_queues.clear()
        self.backlog = Backlog(reads=self.backlog.reads)

    def mark_backlog(self) -> None:
        """Record that the table has segments that are not in memory."""
        self.backlog.mark()
        self.wake(self)

    def wants_read(self, now: float, *, is_starved: bool) -> bool:
        """Tell whether to read more from the table: few partitions are left, or none of them may be dispatched while
        workers are free (`is_starved`)."""
        may_read = self.backlog.has_more and not self._paused and now >= self.backlog.next_read_at
        return may_read and (is_starved or len(self.partition_queues) <= self._few)

    def make_room(self, count: int) -> None:
        """Forget about so many page slices of parked partitions: first those behind the first of each, then whole
        partitions, those first that were added first. They are read again in the next pass."""
        parked = [(p, q) for p, q in self.partition_queues.items() if p not in self._turns and q.slices]
        for _, queue in parked:
            count -= len(queue.slices) - 1
            del queue.slices[1:]
        for partition, queue in parked[: max(0, count)]:
            queue.slices.clear()
            if not queue:
                del self.partition_queues[partition]
        if parked:
            self.backlog.leave_out()

    def load(
        self,
        rows: Sequence[tuple[str, PageSlice]],
        most: int,
        parked: Container[str],
        now: float,
        *,
        is_starved: bool,
        is_end: bool,
    ) -> None:
        """Add segments that were read from the table, up to `most` slices in memory.

        Segments come in order, and the first that does not fit ends the read. If the batch is starved, those of parked
        partitions, and those of partitions that have their share of the memory, are left out for the next pass.
        """
        known = {(s.page, s.segment) for queue in self.partition_queues.values() for s in queue.slices}
        room, left_out = most - len(known), 0
        position: SegmentKey | None = self.backlog.position
        for partition, slice_ in rows:
            place = (slice_.page, slice_.segment)
            if place not in known:
                has_share = self._has_share(partition, most)
                if room <= 0 or (has_share and not is_starved):
                    break
                if has_share or (is_starved and partition in parked):
                    left_out += 1
                else:
                    self.partition_queue(partition).slices.append(slice_)
                    room -= 1
            position = place
        else:
            position = None if is_end else position
        if left_out:
            self.backlog.leave_out()
            self.backlog.pause(now + left_out * PAUSE_PER_SEGMENT_S)
        if is_starved and rows and position == self.backlog.position:  # the memory is full of what cannot be forgotten
            self.backlog.pause(now + PASS_PAUSE_S)
        self.backlog.end_read(position, now)
        self._few = len(self.partition_queues) // 2

    def _has_share(self, partition: str, most: int) -> bool:
        """Tell whether a partition has as many slices in memory as it may."""
        queue = self.partition_queues.get(partition)
        return queue is not None and len(queue.slices) >= max(_MIN_SLICES, most // (1 + len(self.partition_queues)))

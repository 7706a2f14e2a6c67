"""Partitions that get nothing at present: before a time, or until an item of one of their limiters returns.

Nobody asks for them meanwhile, so that the cost of a choice does not depend on their number.
"""

import heapq
from collections.abc import Iterable

_MIN_HEAP = 64


class ParkedPartitions:
    """The parked partitions of one workload. Times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        """Times before which partitions get nothing."""
        self._heap: list[tuple[float, str]] = []
        """Times with their partitions; an entry that differs from `until` is outdated."""
        self._awaiting: dict[str, set[str]] = {}
        """Partitions that wait for a return, by limiter."""
        self.awaited: dict[str, tuple[str, ...]] = {}
        """Limiters by the partition that waits for a return."""
        self._unparked: list[str] = []

    def __len__(self) -> int:
        return len(self.until.keys() | self.awaited.keys())

    def __contains__(self, partition: object) -> bool:
        return partition in self.until or partition in self.awaited

    def park(self, partition: str, until: float) -> None:
        """Park a partition until a time; if it is parked already, until the later one."""
        if until > self.until.get(partition, float("-inf")):
            self.until[partition] = until
            heapq.heappush(self._heap, (until, partition))
            if len(self._heap) > _MIN_HEAP + 2 * len(self.until):
                self._heap = [(at, name) for name, at in self.until.items()]
                heapq.heapify(self._heap)

    def park_until_return(self, partition: str, limiters: Iterable[str]) -> None:
        """Park a partition until an item of one of these limiters returns."""
        self.awaited[partition] = names = tuple(limiters)
        for name in names:
            self._awaiting.setdefault(name, set()).add(partition)

    def record_return(self, limiters: Iterable[str]) -> None:
        """Unpark the partitions that wait for an item of these limiters."""
        for limiter in limiters:
            for partition in self._awaiting.pop(limiter, ()):
                self._end_wait(partition)
                self._unparked.append(partition)

    def unpark(self, partition: str) -> None:
        """Unpark a partition, whatever it waits for."""
        if partition in self:
            self.until.pop(partition, None)
            self._end_wait(partition)
            self._unparked.append(partition)

    def clear(self) -> None:
        """Unpark all partitions."""
        self._unparked += self.until.keys() | self.awaited.keys()
        self.until.clear()
        self._heap.clear()
        self._awaiting.clear()
        self.awaited.clear()

    def end_due(self, now: float) -> float | None:
        """Unpark the partitions whose time has come; return the next time, None if there is none."""
        heap = self._heap
        while heap and (heap[0][0] <= now or self.until.get(heap[0][1]) != heap[0][0]):
            at, partition = heapq.heappop(heap)
            if self.until.get(partition) == at:
                del self.until[partition]
                self._unparked.append(partition)
        return heap[0][0] if heap else None

    @property
    def has_unparked(self) -> bool:
        """True if `take_unparked` would return some."""
        return bool(self._unparked)

    def take_unparked(self) -> list[str]:
        """Return the partitions that were unparked since the last call."""
        taken, self._unparked = self._unparked, []
        return taken

    def _end_wait(self, partition: str) -> None:
        for name in self.awaited.pop(partition, ()):
            if waiting := self._awaiting.get(name):
                waiting.discard(partition)
                if not waiting:
                    del self._awaiting[name]

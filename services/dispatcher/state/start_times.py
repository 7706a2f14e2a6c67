"""Batches whose items may not be dispatched before a time, in the order of their times."""

import heapq
from datetime import datetime
from uuid import UUID

_MIN_ENTRIES = 64
"""Outdated entries that are kept in any case."""


class StartTimes:
    """The start times of waiting batches."""

    def __init__(self) -> None:
        self._times: dict[UUID, datetime] = {}
        self._heap: list[tuple[datetime, UUID]] = []
        """Times with their batches; an entry that differs from `_times` is outdated."""

    def __contains__(self, batch_id: object) -> bool:
        return batch_id in self._times

    def set(self, batch_id: UUID, at: datetime | None) -> None:
        """Set the start time of a batch; None: it has none, or its time has come."""
        if at is None:
            self._times.pop(batch_id, None)
        elif self._times.get(batch_id) != at:
            self._times[batch_id] = at
            heapq.heappush(self._heap, (at, batch_id))
            if len(self._heap) > _MIN_ENTRIES + 2 * len(self._times):
                self._heap = [(time, batch) for batch, time in self._times.items()]
                heapq.heapify(self._heap)

    def next(self) -> datetime | None:
        """Return the earliest start time; None when no batch waits for one."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: datetime) -> list[UUID]:
        """Remove and return the batches whose time has come."""
        due: list[UUID] = []
        while (at := self.next()) is not None and at <= now:
            _, batch_id = heapq.heappop(self._heap)
            del self._times[batch_id]
            due.append(batch_id)
        return due

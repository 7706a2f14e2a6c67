"""The dispatch budget of one moment: a workload's in-flight window and the limits of its batches, taken together."""

from collections.abc import Mapping
from uuid import UUID

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow, PartitionChunk


class Admission:
    """The scheduler's `DispatchBudget` at the time `now` (seconds of the caller's clock)."""

    def __init__(self, window: InFlightWindow, batch_limits: Mapping[UUID, BatchLimits], now: float) -> None:
        self._window, self._batch_limits, self._now = window, batch_limits, now
        self.next_at: float | None = None
        """Earliest time at which a batch that its own rate holds back may send again; None if no batch is held back."""

    def is_full(self, priority: Priority) -> bool:
        """Tell whether no item of this priority may be dispatched."""
        return self._window.is_full(priority)

    def batch_limit(self, batch_id: UUID) -> int:
        """Return the largest chunk that the batch's own limits and the manifest allow; 0: none now."""
        chunk_max = self._window.manifest.chunk_max
        limits = self._batch_limits.get(batch_id)
        if limits is None:
            return chunk_max
        free = limits.available(self._window.in_flight_by_batch[batch_id], self._now)
        if free == 0 and (at := limits.next_at()) > self._now:
            self.next_at = min(at, self.next_at or at)
        return chunk_max if free is None else min(chunk_max, free)

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Return how many items of a batch and partition may be dispatched as one chunk; 0: none now."""
        return self._window.partition_limit(batch_id, partition)

    def record_pick(self, chunk: PartitionChunk) -> None:
        """Count a picked chunk against the batch's rate and in the window, in this order: if the first fails, nothing
        is counted."""
        if limits := self._batch_limits.get(chunk.batch_id):
            limits.take(chunk.source.count, self._now)
        self._window.record_dispatched(chunk)

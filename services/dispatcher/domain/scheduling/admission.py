"""Brings a workload's window and the limits of its batches together, for one moment of choosing."""

from collections.abc import Mapping
from uuid import UUID

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.rate_limiting.batch_rate import BatchLimits
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow, PartitionChunk


class Admission:
    """Answers the scheduler, see `Sizes`."""

    def __init__(self, window: InFlightWindow, batch_limits: Mapping[UUID, BatchLimits], now: float) -> None:
        self._window, self._batch_limits, self._now = window, batch_limits, now
        self.next_at: float | None = None
        """When a batch that was held back by its rate may go on."""

    def is_full(self, priority: Priority) -> bool:
        """Whether nothing of this class may go out."""
        return self._window.is_full(priority)

    def batch_limit(self, batch_id: UUID) -> int:
        """The most for any partition of a batch."""
        chunk_max = self._window.manifest.chunk_max
        limits = self._batch_limits.get(batch_id)
        if limits is None:
            return chunk_max
        free = limits.available(self._window.in_flight_by_batch[batch_id], self._now)
        if free == 0 and (at := limits.next_at()) > self._now:
            self.next_at = min(at, self.next_at or at)
        return chunk_max if free is None else min(chunk_max, free)

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk."""
        return self._window.partition_limit(batch_id, partition)

    def record_pick(self, chunk: PartitionChunk) -> None:
        """It goes out."""
        self._window.record_dispatched(chunk)
        if limits := self._batch_limits.get(chunk.batch_id):
            limits.take(chunk.source.count, self._now)

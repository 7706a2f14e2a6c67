"""Brings a workload's window and the limits of its batches together, for one moment of choosing."""

from collections.abc import Mapping
from uuid import UUID

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.rate_limiting.batch_rate import BatchPace
from services.dispatcher.domain.scheduling.in_flight_window import Chunk, Window


class Admission:
    """Answers the scheduler, see `Sizes`."""

    def __init__(self, window: Window, paces: Mapping[UUID, BatchPace], now: float) -> None:
        self._window, self._paces, self._now = window, paces, now
        self.next_at: float | None = None
        """When a batch that was held back by its rate may go on."""

    def full(self, priority: Priority) -> bool:
        """Whether nothing of this class may go out."""
        return self._window.full(priority)

    def of_batch(self, batch_id: UUID) -> int:
        """The most for any partition of a batch."""
        most = self._window.manifest.chunk_max
        pace = self._paces.get(batch_id)
        if pace is None:
            return most
        free = pace.free(self._window.out_by_batch[batch_id], self._now)
        if free == 0 and (at := pace.next_at()) > self._now:
            self.next_at = min(at, self.next_at or at)
        return most if free is None else min(most, free)

    def allowed(self, batch_id: UUID, partition: str) -> int:
        """Items of a batch for a partition that may go out as one chunk."""
        return self._window.allowed(batch_id, partition)

    def took(self, chunk: Chunk) -> None:
        """It goes out."""
        self._window.given(chunk)
        if pace := self._paces.get(chunk.batch_id):
            pace.took(chunk.source.count, self._now)

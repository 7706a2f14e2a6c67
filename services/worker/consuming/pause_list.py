"""Remembers which batches are paused, so that their waiting chunks do not start on this worker.

Without it a pause would last until the chunks that wait behind the running ones have run.
"""

from datetime import datetime
from uuid import UUID

from batchyard_contracts.v1.work import ChunkReady

_MAX_BATCHES = 1000
"""Number of batches whose last pause or resume is remembered."""


class PauseList:
    """Paused batches, as far as this worker knows."""

    def __init__(self, max_holds: int) -> None:
        """`max_holds`: chunks held back for one pause. The limit ends the exchange of chunks with the dispatcher when
        this worker missed the end of a pause."""
        self._max_holds = max_holds
        self._changed_at: dict[UUID, datetime] = {}
        self._holds_left: dict[UUID, int] = {}
        self._rounds: dict[UUID, int] = {}
        """Last round that a pause applies to; a pause without one applies to all."""

    def update(self, batch_id: UUID, at: datetime, *, paused: bool, round_: int | None = None) -> bool:
        """Record a pause, or the end of one; returns False when it is older than the last one recorded."""
        known_at = self._changed_at.pop(batch_id, at)
        self._changed_at[batch_id] = max(at, known_at)
        if at < known_at:
            return False
        self._forget_pause(batch_id)
        if paused:
            self._holds_left[batch_id] = self._max_holds
            if round_ is not None:
                self._rounds[batch_id] = round_
        if len(self._changed_at) > _MAX_BATCHES:
            oldest = next(iter(self._changed_at))
            del self._changed_at[oldest]
            self._forget_pause(oldest)
        return True

    def clear(self) -> None:
        """Forget all pauses: a resume may have been missed."""
        self._changed_at.clear()
        self._holds_left.clear()
        self._rounds.clear()

    def hold_chunk(self, chunk: ChunkReady) -> bool:
        """Return True when a chunk must not start, because its batch is paused, and count it."""
        holds_left = self._holds_left.get(chunk.batch_id, 0)
        if not holds_left or chunk.round > self._rounds.get(chunk.batch_id, chunk.round):
            return False
        self._holds_left[chunk.batch_id] = holds_left - 1
        return True

    def _forget_pause(self, batch_id: UUID) -> None:
        self._holds_left.pop(batch_id, None)
        self._rounds.pop(batch_id, None)

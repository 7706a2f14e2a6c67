"""Remembers which batches are paused, so that their waiting chunks do not start on this worker.

Without it a pause would last until the chunks that wait behind the running ones have run.
"""

from datetime import datetime
from uuid import UUID

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

    def update(self, batch_id: UUID, at: datetime, *, paused: bool) -> bool:
        """Record a pause, or the end of one; returns False when it is older than the last one recorded."""
        known_at = self._changed_at.pop(batch_id, at)
        self._changed_at[batch_id] = max(at, known_at)
        if at < known_at:
            return False
        self._holds_left.pop(batch_id, None)
        if paused:
            self._holds_left[batch_id] = self._max_holds
        if len(self._changed_at) > _MAX_BATCHES:
            oldest = next(iter(self._changed_at))
            del self._changed_at[oldest]
            self._holds_left.pop(oldest, None)
        return True

    def clear(self) -> None:
        """Forget all pauses: a resume may have been missed."""
        self._changed_at.clear()
        self._holds_left.clear()

    def hold_chunk(self, batch_id: UUID) -> bool:
        """Return True when a chunk of this batch must not start, and count it."""
        holds_left = self._holds_left.get(batch_id, 0)
        if holds_left:
            self._holds_left[batch_id] = holds_left - 1
        return holds_left > 0

"""Remembers which batches are paused, so that what a worker has at hand of them does not begin.

Without it a pause would let begin what waits behind the items that run, and take as long as two of these.
"""

from datetime import datetime
from uuid import UUID

_MAX_BATCHES = 1000
"""Batches of which the last pause or resume is remembered."""


class PauseList:
    """The paused batches, as far as a worker has heard."""

    def __init__(self, max_holds: int) -> None:
        """`chunks`: no more are held back for one pause. There never are so many; but should the pause be over and
        nobody have said so here, items do not go to and fro for ever."""
        self._max_holds = max_holds
        self._changed_at: dict[UUID, datetime] = {}
        self._holds_left: dict[UUID, int] = {}

    def update(self, batch_id: UUID, at: datetime, *, paused: bool) -> bool:
        """Hear of a pause, or of what ends one; False when it is older than what was heard before."""
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
        """Something may have been missed: hold nothing."""
        self._changed_at.clear()
        self._holds_left.clear()

    def hold_chunk(self, batch_id: UUID) -> bool:
        """Whether a chunk of this batch is not to begin."""
        holds_left = self._holds_left.get(batch_id, 0)
        if holds_left:
            self._holds_left[batch_id] = holds_left - 1
        return holds_left > 0

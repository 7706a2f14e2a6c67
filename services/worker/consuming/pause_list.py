"""Remembers which batches are paused, so that what a worker has at hand of them does not begin.

Without it a pause would let begin what waits behind the items that run, and take as long as two of these.
"""

from datetime import datetime
from uuid import UUID

_KEPT = 1000
"""Batches of which the last pause or resume is remembered."""


class Pauses:
    """The paused batches, as far as a worker has heard."""

    def __init__(self, chunks: int) -> None:
        """`chunks`: no more are held back for one pause. There never are so many; but should the pause be over and
        nobody have said so here, items do not go to and fro for ever."""
        self._chunks = chunks
        self._told: dict[UUID, datetime] = {}
        self._left: dict[UUID, int] = {}

    def steer(self, batch_id: UUID, at: datetime, *, paused: bool) -> bool:
        """Hear of a pause, or of what ends one; False when it is older than what was heard before."""
        last = self._told.pop(batch_id, at)
        self._told[batch_id] = max(at, last)
        if at < last:
            return False
        self._left.pop(batch_id, None)
        if paused:
            self._left[batch_id] = self._chunks
        if len(self._told) > _KEPT:
            oldest = next(iter(self._told))
            del self._told[oldest]
            self._left.pop(oldest, None)
        return True

    def forget(self) -> None:
        """Something may have been missed: hold nothing."""
        self._told.clear()
        self._left.clear()

    def take(self, batch_id: UUID) -> bool:
        """Whether a chunk of this batch is not to begin."""
        left = self._left.get(batch_id, 0)
        if left:
            self._left[batch_id] = left - 1
        return left > 0

"""Remembers which batches were cancelled, so that chunks of them that arrive later do not start."""

from uuid import UUID

from batchyard_contracts.v1.work import ChunkReady

_REMEMBER_S = 3600.0
"""Seconds after which a cancellation is dropped: chunks dispatched before it have arrived by then."""


class CancellationList:
    """Cancelled batches, as far as this worker knows."""

    def __init__(self) -> None:
        self._cancelled: dict[UUID, tuple[float, int | None]] = {}
        """Time of the cancellation, and its round if later rounds are not cancelled."""

    def add(self, batch_id: UUID, round_: int | None, now: float) -> None:
        """Cancel a batch up to and including a round, or all of it; `now` is monotonic time in seconds. A cancellation
        of an earlier round that comes late changes nothing."""
        recent = {b: c for b, c in self._cancelled.items() if c[0] > now - _REMEMBER_S}
        _, known = recent.get(batch_id, (now, 0))
        self._cancelled = recent | {batch_id: (now, None if round_ is None or known is None else max(round_, known))}

    def discard(self, batch_id: UUID) -> None:
        """Let a batch run again whose cancellation named no round."""
        if self._cancelled.get(batch_id, (0.0, 0))[1] is None:
            del self._cancelled[batch_id]

    def clear(self) -> None:
        """Let all batches run again."""
        self._cancelled.clear()

    def has_cancelled(self, chunk: ChunkReady) -> bool:
        """Return True when a chunk's round of its batch was cancelled."""
        found = self._cancelled.get(chunk.batch_id)
        return found is not None and (found[1] is None or chunk.round <= found[1])

"""Caches batches as this process committed them last, so that a change need not read the batch first."""

from collections import OrderedDict
from uuid import UUID

from services.aggregator.domain.batch import Batch

_MAX_BATCHES = 5000


class BatchCache:
    """Bounded cache of the batches committed last. Another process may have changed one since: its version tells."""

    def __init__(self) -> None:
        self._batches: OrderedDict[UUID, Batch] = OrderedDict()

    def get(self, batch_id: UUID) -> Batch | None:
        """Return the cached batch."""
        return self._batches.get(batch_id)

    def put(self, batch: Batch) -> None:
        """Cache a batch whose state is committed."""
        self._batches[batch.batch_id] = batch
        self._batches.move_to_end(batch.batch_id)
        if len(self._batches) > _MAX_BATCHES:
            self._batches.popitem(last=False)

    def discard(self, batch_id: UUID) -> None:
        """Remove a batch whose state is no longer certain."""
        self._batches.pop(batch_id, None)

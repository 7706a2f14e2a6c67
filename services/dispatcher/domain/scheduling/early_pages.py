"""Page segments that arrive before their batch header. They are in the table as well; remembering them saves a read."""

from collections import OrderedDict
from uuid import UUID

from services.dispatcher.domain.scheduling.partition_queue import PageSlice

EarlySlices = list[tuple[str, PageSlice]]
"""Partitions with their slices, in the order of arrival."""
_MAX_SLICES = 50_000
"""Slices that are remembered, of all batches together; those of the batches that were added to first are forgotten."""


class EarlyPages:
    """The early segments of batches without a header."""

    def __init__(self, max_slices: int = _MAX_SLICES) -> None:
        self._max_slices = max_slices
        self._slices: OrderedDict[UUID, EarlySlices] = OrderedDict()
        self._count = 0

    def add(self, batch_id: UUID, partition: str, slice_: PageSlice) -> None:
        """Remember a segment, stored for the first time, whose batch has not been added yet."""
        self._slices.setdefault(batch_id, []).append((partition, slice_))
        self._count += 1
        while self._count > self._max_slices:
            _, forgotten = self._slices.popitem(last=False)
            self._count -= len(forgotten)

    def take(self, batch_id: UUID, total: int | None) -> EarlySlices | None:
        """Forget the segments of a batch that is added; return them if they contain all its `total` items, else
        None."""
        found = self._slices.pop(batch_id, [])
        self._count -= len(found)
        return found if found and sum(slice_.size for _, slice_ in found) == total else None

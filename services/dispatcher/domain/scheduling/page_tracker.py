"""Tracks which page segments have arrived: each is queued once; those that arrive before their batch header wait."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from uuid import UUID

from services.dispatcher.domain.scheduling.scheduler import PageSlice

SegmentKey = tuple[int, int]
"""Page and segment."""
WaitingSlices = Mapping[SegmentKey, tuple[str, PageSlice]]
"""Partition and page slice by page and segment."""
_MAX_EARLY_BATCHES = 1000
"""Batches without a header whose segments are remembered; those of further ones are read from the table."""


class PageTracker:
    """The page segments of all batches. Early segments are in the table as well; remembering them saves a read."""

    def __init__(self) -> None:
        self._queued: dict[UUID, set[SegmentKey]] = {}
        """Segments of running batches that were queued, whatever became of them since."""
        self._early: OrderedDict[UUID, dict[SegmentKey, tuple[str, PageSlice]]] = OrderedDict()

    def expect(self, batch_id: UUID) -> None:
        """Remember segments of a batch that arrive from now on, since it is about to be added."""
        self._early.setdefault(batch_id, {})
        self._early.move_to_end(batch_id)
        if len(self._early) > _MAX_EARLY_BATCHES:
            self._early.popitem(last=False)

    def add_early(self, batch_id: UUID, partition: str, slice_: PageSlice) -> None:
        """Remember a segment whose batch has not been added yet."""
        self.expect(batch_id)
        self._early[batch_id][slice_.page, slice_.segment] = (partition, slice_)

    def early_slices(self, batch_id: UUID) -> WaitingSlices | None:
        """Return the early segments of a batch; None if nothing is remembered."""
        return self._early.get(batch_id)

    def complete_slices(self, batch_id: UUID, total: int | None) -> WaitingSlices | None:
        """Return the early segments of a batch if they contain all its `total` items and none was dispatched; else
        None."""
        found = self._early.get(batch_id, {})
        slices = [slice_ for _, slice_ in found.values()]
        return found if slices and sum(s.size for s in slices) == total and not any(s.taken for s in slices) else None

    def start_batch(self, batch_id: UUID, places: Iterable[SegmentKey]) -> None:
        """Record that a batch was added with these segments queued."""
        self._early.pop(batch_id, None)
        self._queued[batch_id] = set(places)

    def add_segment(self, batch_id: UUID, slice_: PageSlice) -> bool:
        """Record a segment of an added batch; returns False if it was queued before."""
        place, held = (slice_.page, slice_.segment), self._queued.setdefault(batch_id, set())
        if place in held:
            return False
        held.add(place)
        return True

    def remove_batch(self, batch_id: UUID) -> None:
        """Forget a batch that is finished or withdrawn."""
        self._queued.pop(batch_id, None)
        self._early.pop(batch_id, None)

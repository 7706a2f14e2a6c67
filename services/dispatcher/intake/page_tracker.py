"""Knows which page segments have come: each goes into its lane once; those that overtook their header wait."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from uuid import UUID

from services.dispatcher.domain.scheduling.scheduler import PageSlice

SegmentKey = tuple[int, int]
"""Page and segment."""
WaitingSlices = Mapping[SegmentKey, tuple[str, PageSlice]]
"""Partition and slice by place."""
_MAX_EARLY_BATCHES = 1000
"""Batches without a header whose segments are remembered; those of others are read from the table."""


class PageTracker:
    """Of all batches. What is early is in the table already: remembering it spares reading it."""

    def __init__(self) -> None:
        self._queued: dict[UUID, set[SegmentKey]] = {}
        """Of a batch that runs: what came into a lane, whatever became of it since."""
        self._early: OrderedDict[UUID, dict[SegmentKey, tuple[str, PageSlice]]] = OrderedDict()

    def expect(self, batch_id: UUID) -> None:
        """A batch is about to join: remember what comes from now on."""
        self._early.setdefault(batch_id, {})
        self._early.move_to_end(batch_id)
        if len(self._early) > _MAX_EARLY_BATCHES:
            self._early.popitem(last=False)

    def add_early(self, batch_id: UUID, partition: str, slice_: PageSlice) -> None:
        """A segment came whose batch has not joined."""
        self.expect(batch_id)
        self._early[batch_id][slice_.page, slice_.segment] = (partition, slice_)

    def early_slices(self, batch_id: UUID) -> WaitingSlices | None:
        """What is early of a batch; None if nothing is remembered."""
        return self._early.get(batch_id)

    def complete_slices(self, batch_id: UUID, total: int | None) -> WaitingSlices | None:
        """What is early of a batch, if that is all of its items and none went out."""
        found = self._early.get(batch_id, {})
        slices = [slice_ for _, slice_ in found.values()]
        return found if slices and sum(s.size for s in slices) == total and not any(s.taken for s in slices) else None

    def start_batch(self, batch_id: UUID, places: Iterable[SegmentKey]) -> None:
        """A batch joined with these segments."""
        self._early.pop(batch_id, None)
        self._queued[batch_id] = set(places)

    def add_segment(self, batch_id: UUID, slice_: PageSlice) -> bool:
        """Whether a segment of a batch that has joined comes for the first time; it has come from now on."""
        place, held = (slice_.page, slice_.segment), self._queued.setdefault(batch_id, set())
        if place in held:
            return False
        held.add(place)
        return True

    def remove_batch(self, batch_id: UUID) -> None:
        """A batch is finished or withdrawn."""
        self._queued.pop(batch_id, None)
        self._early.pop(batch_id, None)

"""Knows which page segments have come: each goes into its lane once; those that overtook their header wait."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from uuid import UUID

from services.dispatcher.domain.scheduling.scheduler import Slice

Place = tuple[int, int]
"""Page and segment."""
Segments = Mapping[Place, tuple[str, Slice]]
"""Partition and slice by place."""
_MOST_EARLY = 1000
"""Batches without a header whose segments are remembered; those of others are read from the table."""


class Arrivals:
    """Of all batches. What is early is in the table already: remembering it spares reading it."""

    def __init__(self) -> None:
        self._held: dict[UUID, set[Place]] = {}
        """Of a batch that runs: what came into a lane, whatever became of it since."""
        self._early: OrderedDict[UUID, dict[Place, tuple[str, Slice]]] = OrderedDict()

    def expect(self, batch_id: UUID) -> None:
        """A batch is about to join: remember what comes from now on."""
        self._early.setdefault(batch_id, {})
        self._early.move_to_end(batch_id)
        if len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def early(self, batch_id: UUID, partition: str, slice_: Slice) -> None:
        """A segment came whose batch has not joined."""
        self.expect(batch_id)
        self._early[batch_id][slice_.page, slice_.segment] = (partition, slice_)

    def of(self, batch_id: UUID) -> Segments | None:
        """What is early of a batch; None if nothing is remembered."""
        return self._early.get(batch_id)

    def whole(self, batch_id: UUID, total: int | None) -> Segments | None:
        """What is early of a batch, if that is all of its items and none went out."""
        early = self._early.get(batch_id, {})
        slices = [slice_ for _, slice_ in early.values()]
        return early if slices and sum(s.size for s in slices) == total and not any(s.taken for s in slices) else None

    def joined(self, batch_id: UUID, places: Iterable[Place]) -> None:
        """A batch joined with these segments."""
        self._early.pop(batch_id, None)
        self._held[batch_id] = set(places)

    def is_new(self, batch_id: UUID, slice_: Slice) -> bool:
        """Whether a segment of a batch that has joined comes for the first time; it has come from now on."""
        place, held = (slice_.page, slice_.segment), self._held.setdefault(batch_id, set())
        if place in held:
            return False
        held.add(place)
        return True

    def leave(self, batch_id: UUID) -> None:
        """A batch is finished or withdrawn."""
        self._held.pop(batch_id, None)
        self._early.pop(batch_id, None)

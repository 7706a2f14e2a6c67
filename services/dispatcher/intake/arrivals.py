"""Queues page segments that have just been saved, if that is safe; else their batch reads them from the table."""

from collections.abc import Iterable
from uuid import UUID

from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.persistence.page_store import SavedSegment
from services.dispatcher.state.state import DispatcherState


class Arrivals:
    """The segments of one group of pages, seen from before they are saved.

    A segment that is new in the table is queued if its batch has read all others and no read began since: that read may
    have returned it. Every other segment is left in the table, and its batch is told.
    """

    def __init__(self, state: DispatcherState, batch_ids: Iterable[UUID]) -> None:
        self._state = state
        self._reads: dict[UUID, tuple[BatchQueue, int]] = {}
        """Queues of the known batches before the save, with the number of their reads."""
        self._room: dict[UUID, int] = {}
        for batch_id in batch_ids:
            if (batch := state.batches.get(batch_id)) and (queue := state.batch_queue(batch)):
                self._reads[batch_id] = (queue, queue.backlog.reads)

    def add(self, queue: BatchQueue, segment: SavedSegment) -> None:
        """Queue a segment, or record that it waits in the table."""
        backlog, batch_id = queue.backlog, segment.batch_id
        is_in_step = not backlog.has_more and self._reads.get(batch_id) == (queue, backlog.reads)
        if segment.is_new and is_in_step and self._take_room(queue) > 0:
            queue.partition_queue(segment.partition).slices.append(segment.slice)
        else:
            queue.mark_backlog()

    def _take_room(self, queue: BatchQueue) -> int:
        room = self._room.get(queue.batch_id)
        if room is None:
            room = self._state.max_slices - queue.slice_count
        self._room[queue.batch_id] = room - 1
        return room

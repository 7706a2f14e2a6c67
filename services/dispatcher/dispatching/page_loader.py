"""Reads waiting page segments of batches from the table, some at a time, as their items are dispatched.

Runs between two dispatches: what was picked is saved by then, so no segment is read that is about to leave.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.state.state import DispatcherState
from shared.runtime.transient import retry_transient

_SEGMENTS_PER_READ = 1000
_BATCHES_PER_TURN = 8
"""Batches for which the table is read before chunks are dispatched again."""


class PageLoader:
    """Fills the queues of batches that have more in the table."""

    def __init__(self, state: DispatcherState, stores: Stores) -> None:
        self._state, self._stores = state, stores

    async def load(
        self, wanting: Sequence[tuple[BatchQueue, bool]], on_wait: Callable[[], None]
    ) -> dict[UUID, Exception]:
        """Read for the batches that have read least, those of a high priority first; True: none of the batch's items
        in memory may be dispatched, although workers are free.

        Returns the batches whose pages cannot be read, each with its error. `on_wait` runs while PostgreSQL is
        unreachable.
        """
        failed: dict[UUID, Exception] = {}
        in_turn = sorted(wanting, key=lambda one: (one[0].backlog.reads, PRIORITIES.index(one[0].priority)))
        for queue, is_starved in in_turn[:_BATCHES_PER_TURN]:
            try:
                await retry_transient(partial(self._read, queue, is_starved=is_starved), "PostgreSQL", on_wait=on_wait)
            except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                queue.pause()
                failed[queue.batch_id] = error
        return failed

    async def _read(self, queue: BatchQueue, *, is_starved: bool) -> None:
        batch = self._state.batches.get(queue.batch_id)
        if batch is None or self._state.batch_queue(batch) is not queue:  # it has ended meanwhile
            return
        if is_starved and queue.slice_count >= self._state.max_slices:
            queue.make_room(_SEGMENTS_PER_READ)
        queue.backlog.begin_read()
        rows = await self._stores.pages.waiting_slices(
            batch.batch_id, _SEGMENTS_PER_READ, queue.backlog.position, claimed_only=batch.dedup is not None
        )
        if batch.stop_status or self._state.batch_queue(batch) is not queue:
            return
        queue.load(
            rows,
            self._state.max_slices,
            self._state.workload_queue(batch.workload).window.parked,
            time.monotonic(),
            is_starved=is_starved,
            is_end=len(rows) < _SEGMENTS_PER_READ,
        )

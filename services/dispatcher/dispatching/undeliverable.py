"""Holds chunks that a queue refused and sends them later, while other workloads go on; fails chunks too large."""

import time
from collections.abc import Callable
from functools import partial

from batchyard_contracts.v1.values import ItemError
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.domain.lease import Lease
from services.dispatcher.settlement.chunk_settler import ChunkSettler
from services.dispatcher.state.state import DispatcherState
from shared.runtime.transient import retry_transient

_PAUSE_S = 5.0
_TOO_LARGE = ItemError(code="item_too_large", message="The item and its state are too large to be sent to a worker.")


class UndeliverableChunks:
    """Refused chunks by workload. A workload in here gets no new chunks."""

    def __init__(self, state: DispatcherState, publisher: ChunkPublisher, chunk_settler: ChunkSettler) -> None:
        self._state, self._publisher, self._chunk_settler = state, publisher, chunk_settler
        self._until: dict[str, float] = {}
        self._leases: dict[str, list[Lease]] = {}

    def is_waiting(self, workload: str) -> bool:
        """Tell whether no chunk of a workload may be sent now."""
        return workload in self._until

    def next_retry_at(self) -> float | None:
        """Return when the next workload is tried again (monotonic seconds); None if none waits."""
        return min(self._until.values(), default=None)

    async def record(self, error: ChunksRefused, on_wait: Callable[[], None]) -> None:
        """Keep the refused chunks for later, and fail the items of those that are too large."""
        retry_at = time.monotonic() + _PAUSE_S
        for lease in error.refused:
            self._state.leases.mark_seen(lease, retry_at)  # keeps the lease from expiring meanwhile
            self._until[lease.workload] = retry_at
            self._leases.setdefault(lease.workload, []).append(lease)
        for lease in error.oversized:
            end = partial(self._chunk_settler.end, lease, "failed", _TOO_LARGE)
            await retry_transient(end, "chunks", on_wait=on_wait)

    async def retry_due(self, on_wait: Callable[[], None]) -> None:
        """Publish the chunks of the workloads whose pause is over."""
        now = time.monotonic()
        for workload in [w for w, until in self._until.items() if until <= now]:
            del self._until[workload]
            leases = [x for x in self._leases.pop(workload, []) if x.chunk_id in self._state.leases]
            try:
                await self._publisher.publish(leases)
            except ChunksRefused as error:
                await self.record(error, on_wait)

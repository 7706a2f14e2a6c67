"""Finds recorded chunks that were never sent, since the previous dispatcher died in between.

A chunk that has left its queue is at a worker, which names it in each heartbeat and reports it before it forgets it. So
no worker has a chunk that is not in its queue if each worker has sent a heartbeat since, the reports sent until then
are read, and none of them names it. An earlier dispatcher that is frozen may have received such a report; it comes back
when the broker drops that connection.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from services.dispatcher.domain.lease import Lease
from services.dispatcher.state.state import DispatcherState

QueueDepth = Callable[[str], Awaitable[int | None]]
"""Returns the number of messages in a queue; None if the queue does not exist."""
ReportsReadUntil = Callable[[], Awaitable[float]]
"""Returns a time (monotonic seconds) before which all reports are handled; -inf while reports wait in their queue, or
another consumer may have some."""
_MAX_FREEZE_S = 15.0
"""Longest time in seconds for which the broker keeps the connection of a frozen dispatcher."""


class OrphanedChunkDetector:
    """The chunks that were in flight when this dispatcher became active, until a worker names them."""

    def __init__(self, state: DispatcherState, lease_s: float) -> None:
        self._state, self._max_wait_s = state, max(lease_s, _MAX_FREEZE_S)
        self._leases: dict[UUID, tuple[Lease, int]] = {}
        """Leases with their fences, by chunk."""
        self._started_at = -math.inf
        self._emptied_at: dict[str, float] = {}
        """Times at which a queue was known to contain none of the chunks."""
        self._unheld_at: dict[UUID, float] = {}
        """Times at which a chunk was found to be at no worker. A report that is not handled yet may name it."""

    def watch(self, leases: Iterable[Lease], now: float) -> None:
        """Start watching these leases, as they were read at `now`."""
        self._leases = {lease.chunk_id: (lease, lease.fence) for lease in leases}
        self._started_at = now

    def is_watched(self, lease: Lease) -> bool:
        """Tell whether a chunk is still watched. A quarantined chunk that no worker takes is not watched."""
        return lease.chunk_id in self._leases and (
            not lease.quarantined or self._state.workers.handles_quarantine(lease.workload)
        )

    @property
    def is_pending(self) -> bool:
        """True if orphans may be found soon."""
        soon = time.monotonic() < self._started_at + self._max_wait_s
        return soon and any(self._may_be_sent(lease) for lease, _ in self._leases.values())

    async def find_orphans(
        self, queue_depth: QueueDepth, reports_read_until: ReportsReadUntil
    ) -> list[tuple[Lease, int]]:
        """Return the chunks that no worker has, each with its fence. Has to be called repeatedly."""
        self._drop_seen()
        unheld_before = dict(self._unheld_at)
        waiting = [lease for lease, _ in self._leases.values() if self._may_be_sent(lease)]
        for queue in {lease.queue for lease in waiting} - self._emptied_at.keys():
            if self._state.consumed_up_to.get(queue, -math.inf) > self._started_at or await queue_depth(queue) == 0:
                self._emptied_at[queue] = time.monotonic()
        for lease in waiting:
            if self._is_unheld(lease):
                self._unheld_at.setdefault(lease.chunk_id, time.monotonic())
        if not unheld_before:
            return []
        read_until = await reports_read_until()
        self._drop_seen()
        return [
            self._leases[lease.chunk_id]
            for lease in waiting
            if lease.chunk_id in self._leases.keys() & unheld_before.keys()
            and (read_until > unheld_before[lease.chunk_id] or self._is_overdue(lease))
        ]

    def _drop_seen(self) -> None:
        """Stop watching chunks that a worker named or reported, or that were dispatched again."""
        self._leases = {
            chunk_id: (lease, fence)
            for chunk_id, (lease, fence) in self._leases.items()
            if self._state.leases.get(chunk_id) is lease and lease.fence == fence and lease.seen_at <= self._started_at
        }

    def _may_be_sent(self, lease: Lease) -> bool:
        """Tell whether there are workers for the chunk and its batch is not paused."""
        batch = self._state.batch_of(lease)
        workers = self._state.workload_queue(lease.workload).window.workers
        return workers > 0 and not (batch and batch.paused) and self.is_watched(lease)

    def _is_unheld(self, lease: Lease) -> bool:
        """Tell whether each worker has sent a heartbeat since the chunk left its queue; the second of two counts."""
        emptied_at = self._emptied_at.get(lease.queue)
        if emptied_at is None:
            return False
        holders = [w for w in self._state.workers if lease.workload in w.heartbeat.workloads]
        return self._is_overdue(lease) or all(
            w.previous_seen_at > emptied_at or (w.heartbeat.stopping and not w.heartbeat.chunks) for w in holders
        )

    def _is_overdue(self, lease: Lease) -> bool:
        """Tell whether to wait no longer for slow heartbeats or for unread reports."""
        return self._emptied_at.get(lease.queue, math.inf) + self._max_wait_s < time.monotonic()

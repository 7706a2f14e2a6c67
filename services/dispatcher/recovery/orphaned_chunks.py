"""Finds chunks that are on record as out and never went out: the dispatcher before this one died in between.

What has left its queue is at a worker, which names it in each heartbeat, and reports it before it lets go. Nobody has a
chunk that is in its queue no more, if each worker has made a heartbeat since, the reports that were sent until then are
read, and none of them speaks of it.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from batchyard_contracts import topology
from services.dispatcher.state.state import Lease, Yard

Depth = Callable[[str], Awaitable[int | None]]
"""How many messages of a queue wait for a consumer; None: there is no such queue."""


class Inherited:
    """The chunks that were out when this dispatcher became active, until somebody names them."""

    def __init__(self, yard: Yard, lease_s: float) -> None:
        self._yard, self._lease_s = yard, lease_s
        self._leases: dict[UUID, tuple[Lease, int]] = {}
        """With their fencing numbers."""
        self._since = -math.inf
        self._left: dict[str, float] = {}
        """By queue: when it was known that it has none of them any more."""
        self._nowhere: set[UUID] = set()
        """No worker has them; a report that is in hand may still speak of them."""

    def take(self, leases: Iterable[Lease], now: float) -> None:
        """Begin with these, as they were read at that time."""
        self._leases = {lease.chunk_id: (lease, lease.fence) for lease in leases}
        self._since = now

    def judges(self, lease: Lease) -> bool:
        """Whether it is found here that nobody has a chunk. Quarantine that nobody takes is not waited for."""
        return lease.chunk_id in self._leases and (not lease.quarantined or self._yard.isolates(lease.workload))

    @property
    def pending(self) -> bool:
        """Whether something may be found soon."""
        soon = time.monotonic() < self._since + self._lease_s
        return soon and any(self._may_go(lease) for lease, _ in self._leases.values())

    async def nowhere(self, depth: Depth) -> list[tuple[Lease, int]]:
        """Those that nobody has, each with its fencing number. To be asked again and again."""
        self._drop_seen()
        gone = set(self._nowhere)
        waiting = [lease for lease, _ in self._leases.values() if self._may_go(lease)]
        for queue in {lease.queue for lease in waiting} - self._left.keys():
            if self._yard.reached.get(queue, -math.inf) > self._since or await depth(queue) == 0:
                self._left[queue] = time.monotonic()
        unheld = [lease for lease in waiting if lease.chunk_id not in gone and self._is_unheld(lease)]
        if unheld and (await depth(topology.DISPATCHER_OUTCOMES.name) == 0 or all(map(self._is_overdue, unheld))):
            self._nowhere.update(lease.chunk_id for lease in unheld)
        self._drop_seen()
        return [self._leases[x.chunk_id] for x in waiting if x.chunk_id in gone & self._leases.keys()]

    def _drop_seen(self) -> None:
        """What a worker has named or reported, or what went out anew, is a chunk like others."""
        self._leases = {
            chunk_id: (lease, fence)
            for chunk_id, (lease, fence) in self._leases.items()
            if self._yard.leases.get(chunk_id) is lease and lease.fence == fence and lease.seen_at <= self._since
        }

    def _may_go(self, lease: Lease) -> bool:
        """Whether there are workers for it, and its batch is not paused."""
        batch = self._yard.batches.get(lease.batch_id)
        workers = self._yard.line(lease.workload).window.workers
        return workers > 0 and not (batch and batch.paused) and self.judges(lease)

    def _is_unheld(self, lease: Lease) -> bool:
        """Whether each worker has made a heartbeat since the chunk left its queue: of two that came, the second."""
        left = self._left.get(lease.queue)
        if left is None:
            return False
        holders = [w for w in self._yard.workers.values() if lease.workload in w.heartbeat.workloads]
        return self._is_overdue(lease) or all(
            w.before > left or (w.heartbeat.stopping and not w.heartbeat.chunks) for w in holders
        )

    def _is_overdue(self, lease: Lease) -> bool:
        """Whether to wait no longer for workers that beat too seldom, or for reports without end."""
        return self._left.get(lease.queue, math.inf) + self._lease_s < time.monotonic()

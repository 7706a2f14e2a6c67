"""The live workers: when each was heard of, and how much it can do."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from batchyard_contracts.v1.flow import WorkerHeartbeat


@dataclass(slots=True)
class Worker:
    """A worker and the time at which it was last heard of."""

    heartbeat: WorkerHeartbeat
    seen_at: float
    previous_seen_at: float = -math.inf
    """Time of the heartbeat before the last one. The last one was created later than this."""


class LiveWorkers:
    """The workers that were heard of lately."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def record_heartbeat(self, heartbeat: WorkerHeartbeat, now: float) -> None:
        """Record that a worker lives."""
        previous = self._workers.get(heartbeat.worker_id)
        self._workers[heartbeat.worker_id] = Worker(heartbeat, now, previous.seen_at if previous else -math.inf)

    def drop_silent(self, before: float) -> None:
        """Drop workers that were last heard of before the given time."""
        self._workers = {name: worker for name, worker in self._workers.items() if worker.seen_at >= before}

    def handles_quarantine(self, workload: str) -> bool:
        """Tell whether a worker takes quarantined chunks of this workload."""
        return any(w.heartbeat.handles_quarantine and workload in w.heartbeat.workloads for w in self)

    def take_bundles(self, workload: str) -> bool:
        """Tell whether all workers of a workload take bundles of chunks apart."""
        return all(w.heartbeat.takes_bundles for w in self if workload in w.heartbeat.workloads)

    def count(self, workload: str) -> int:
        """Return the number of workers that take items of a workload."""
        return sum(workload in w.heartbeat.workloads and not w.heartbeat.stopping for w in self)

    def capacity(self, workload: str, concurrency: int) -> float:
        """Return the capacity for a workload of the workers that do not stop; a worker with `concurrency` slots counts
        as one."""
        total = 0.0
        for worker in self:
            heartbeat = worker.heartbeat
            if workload in heartbeat.workloads and not heartbeat.stopping:
                slots = heartbeat.slots.get(workload)
                total += slots.max / concurrency if slots else 1.0
        return total

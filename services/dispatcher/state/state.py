"""In-memory state of the active dispatcher, rebuilt from PostgreSQL whenever a process becomes active."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from batchyard_contracts.v1.flow import WorkerHeartbeat
from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.forecasting.service_times import ServiceTimes
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace
from services.dispatcher.domain.lease import Lease, LeaseTable
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.owner_weights import OwnerWeights
from services.dispatcher.domain.scheduling.scheduler import Scheduler
from services.dispatcher.state.start_times import StartTimes
from services.dispatcher.state.workers import LiveWorkers

_MAX_SLICES = 100_000
"""Approximate number of page slices that are held in memory."""
_MIN_SLICES_PER_BATCH, _MAX_SLICES_PER_BATCH = 16, 4096


@dataclass(slots=True)
class WorkloadQueue:
    """One workload: its waiting batches and its in-flight window."""

    window: InFlightWindow
    scheduler: Scheduler = field(default_factory=Scheduler)
    is_announced: bool = False
    """True once a worker has announced the manifest."""
    service_times: ServiceTimes = field(default_factory=ServiceTimes)
    pace: WorkerPace = field(default_factory=WorkerPace)

    @property
    def slots(self) -> float:
        """Number of items that the workers run at once."""
        return self.window.workers * self.window.manifest.concurrency


class DispatcherState:
    """In-memory state of the active dispatcher. `changed` wakes the dispatch loop."""

    def __init__(self, owner_weights: Mapping[str, float] | None = None) -> None:
        self.owner_weights = OwnerWeights(owner_weights)
        self.batches: dict[UUID, Batch] = {}
        self.workload_queues: dict[str, WorkloadQueue] = {}
        self.leases = LeaseTable()
        self.workers = LiveWorkers()
        self.consumed_up_to: dict[str, float] = {}
        """By queue: publish time of the youngest chunk known to have left it. All older chunks have left it too."""
        self.batch_limits: dict[UUID, BatchLimits] = {}
        """Limits of the batches that have a rate or a concurrency of their own."""
        self.deadlines: dict[UUID, datetime] = {}
        """Deadlines of running batches."""
        self.start_times = StartTimes()
        """Times before which no item of a batch is dispatched."""
        self.loaded_retries: set[tuple[UUID, int]] = set()
        """Retries that wait in a partition queue; the table holds many more."""
        self.loaded_by_partition: Counter[tuple[UUID, str]] = Counter()
        """Number of loaded retries by batch and partition."""
        self.control_lock = asyncio.Lock()
        """Held while a header or a control moves from its message to the table and on into memory."""
        self.changed = asyncio.Event()

    @property
    def max_slices(self) -> int:
        """Number of page slices that a batch may have in memory. Further ones wait in the table."""
        share = _MAX_SLICES // max(1, len(self.batches))
        return max(_MIN_SLICES_PER_BATCH, min(share, _MAX_SLICES_PER_BATCH))

    def workload_queue(self, workload: str) -> WorkloadQueue:
        """Return the queue of a workload; without a manifest it has no workers, so nothing is dispatched."""
        queue = self.workload_queues.get(workload)
        if queue is None:
            manifest = Manifest(name=workload, version="", item_schema={}, result_schema={})
            queue = self.workload_queues[workload] = WorkloadQueue(
                InFlightWindow(manifest, wall_clock_offset_s=time.time() - time.monotonic()),
                Scheduler(self.owner_weights),
            )
        return queue

    def set_manifest(self, manifest: Manifest) -> None:
        """Apply a new or changed manifest."""
        queue = self.workload_queue(manifest.name)
        queue.window.end_backoffs(time.monotonic())
        queue.window.set_manifest(manifest)
        queue.is_announced = True
        self.changed.set()

    def set_owner_weight(self, owner: str, weight: float | None) -> None:
        """Set the share of an owner; None: that of the settings."""
        self.owner_weights.set(owner, weight)
        for queue in self.workload_queues.values():
            queue.scheduler.apply_owner_weight(owner)
        self.changed.set()

    def add_batch(self, batch: Batch) -> BatchQueue:
        """Add a batch to the queue of its workload."""
        self.batches[batch.batch_id] = batch
        queue = BatchQueue(batch.batch_id, batch.owner, batch.priority)
        self.workload_queue(batch.workload).scheduler.add_batch(queue)
        self.apply_control(batch)
        return queue

    def apply_control(self, batch: Batch) -> None:
        """Apply the controls of a batch to its queue, limits, start time and deadline."""
        batch_id, scheduler = batch.batch_id, self.workload_queue(batch.workload).scheduler
        starts_after = None if batch.stop_status else batch.starts_after(datetime.now(UTC))
        self.start_times.set(batch_id, starts_after)
        if queue := scheduler.batch_queue(batch_id):
            if batch.paused or batch.stop_status or starts_after:
                queue.pause()
            else:
                queue.resume()
            if queue.priority != batch.priority:
                scheduler.reprioritize(batch_id, batch.priority)
            scheduler.set_weight(batch_id, batch.terms.weight or 1)
        previous = self.batch_limits.pop(batch_id, None)
        self.deadlines.pop(batch_id, None)
        self.changed.set()
        if batch.stop_status:
            self.drop_waiting(batch)
            return
        if deadline := batch.deadline:
            self.deadlines[batch_id] = deadline
        has_started = batch.started_round >= batch.round
        if limits := BatchLimits.of(batch.terms, time.monotonic(), previous, has_started=has_started):
            self.batch_limits[batch_id] = limits

    def start_due(self, now: datetime) -> bool:
        """Let the items run of batches whose start time has come; returns True if there are any."""
        due = [batch for batch_id in self.start_times.take_due(now) if (batch := self.batches.get(batch_id))]
        for batch in due:
            self.apply_control(batch)
        return bool(due)

    def running_round(self, batch_id: UUID, round_: int) -> Batch | None:
        """Return a batch if this round of it runs; None if the round is over."""
        batch = self.batches.get(batch_id)
        return batch if batch is not None and batch.round == round_ else None

    def batch_of(self, lease: Lease) -> Batch | None:
        """Return the batch of a chunk; None if the round of the chunk is over."""
        return self.running_round(lease.batch_id, lease.round)

    def batch_queue(self, batch: Batch) -> BatchQueue | None:
        """Return the waiting items of a batch; None if it was not added."""
        return self.workload_queue(batch.workload).scheduler.batch_queue(batch.batch_id)

    def remove_batch(self, batch_id: UUID) -> None:
        """Forget a batch that is finished or withdrawn."""
        if batch := self.batches.pop(batch_id, None):
            self.drop_waiting(batch)
            self.batch_limits.pop(batch_id, None)
            self.deadlines.pop(batch_id, None)
            self.start_times.set(batch_id, None)
            queue = self.workload_queue(batch.workload)
            queue.scheduler.remove_batch(batch_id)
            queue.window.forget_batch(batch_id)

    def drop_waiting(self, batch: Batch) -> None:
        """Forget the waiting items of a batch."""
        queue = self.batch_queue(batch)
        if queue is None:
            return
        for partition, partition_queue in queue.partition_queues.items():
            for retries in partition_queue.retries:
                self.unload_retries(batch.batch_id, partition, retries.ordinals)
        queue.clear()

    def drop_partition(self, batch: Batch, partition: str) -> None:
        """Forget the waiting items of a batch for one partition."""
        queue = self.batch_queue(batch)
        if queue is not None and (partition_queue := queue.drop_partition(partition)):
            for retries in partition_queue.retries:
                self.unload_retries(batch.batch_id, partition, retries.ordinals)

    def load_retry(self, batch_id: UUID, partition: str, ordinal: int) -> bool:
        """Record that a retry waits in a partition queue; returns False if it does already."""
        key = (batch_id, ordinal)
        if key in self.loaded_retries:
            return False
        self.loaded_retries.add(key)
        self.loaded_by_partition[batch_id, partition] += 1
        return True

    def unload_retries(self, batch_id: UUID, partition: str, ordinals: tuple[int, ...]) -> None:
        """Record that retries left their partition queue."""
        self.loaded_retries.difference_update((batch_id, ordinal) for ordinal in ordinals)
        self.loaded_by_partition[batch_id, partition] -= len(ordinals)
        if self.loaded_by_partition[batch_id, partition] <= 0:
            del self.loaded_by_partition[batch_id, partition]

    def add_lease(self, lease: Lease) -> None:
        """Add a recorded chunk to those in flight."""
        self.leases.add(lease)
        self.workload_queue(lease.workload).window.record_dispatched(lease)

    def release_lease(self, lease: Lease) -> None:
        """Remove a chunk that has ended."""
        if self.leases.remove(lease):
            self.workload_queue(lease.workload).window.record_returned(lease)
            self.changed.set()

    def record_heartbeat(self, heartbeat: WorkerHeartbeat, now: float) -> None:
        """Record that a worker lives and holds the named chunks."""
        self.workers.record_heartbeat(heartbeat, now)
        for chunk_id in heartbeat.chunks:
            if lease := self.leases.get(chunk_id):
                self.leases.mark_seen(lease, now)
                if lease.fence == 1:  # a chunk that was dispatched again may be named for its earlier message
                    self.record_taken(lease)
        self._update_capacity()

    def record_taken(self, lease: Lease) -> None:
        """Record that a worker has taken a chunk from its queue."""
        queue = lease.queue
        self.consumed_up_to[queue] = max(lease.sent_at, self.consumed_up_to.get(queue, lease.sent_at))

    def drop_silent_workers(self, before: float) -> None:
        """Drop workers that were last heard of before the given time."""
        self.workers.drop_silent(before)
        self._update_capacity()

    def _update_capacity(self) -> None:
        for name, queue in self.workload_queues.items():
            capacity = self.workers.capacity(name, queue.window.manifest.concurrency) if queue.is_announced else 0.0
            if queue.window.workers != capacity:
                queue.window.workers = capacity
                self.changed.set()

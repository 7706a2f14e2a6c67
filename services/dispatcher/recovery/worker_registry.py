"""The known workers: their announcements, whether they live, and the chunks that none of them holds."""

import time
from datetime import UTC, datetime, timedelta

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import WorkerAnnounced, WorkerHeartbeat
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply, WorkerState
from services.dispatcher.domain.lease import Lease
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.lost_chunks import LostChunkRecovery
from services.dispatcher.recovery.orphaned_chunks import OrphanedChunkDetector, QueueDepth, ReportsReadUntil
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.state.state import DispatcherState

_MAX_UNREAD_LEASES = 10
"""Number of lease times after which a chunk counts as lost although there are unread reports, one of which may be its
own: the dispatcher may never have none."""


class WorkerRegistry:
    """Handles announcements and heartbeats, and finds lost chunks."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        recovery: LostChunkRecovery,
        orphans: OrphanedChunkDetector,
        settings: DispatcherSettings,
    ) -> None:
        self._state, self._stores, self._recovery, self._settings = state, stores, recovery, settings
        self._orphans = orphans

    async def on_worker_announced(self, message: WorkerAnnounced, envelope: Envelope) -> None:
        """Save and apply the manifests of a worker that has started."""
        for manifest in await self._stores.batches.save_manifests(message, redelivered=envelope.redelivered):
            self._state.set_manifest(manifest)

    async def on_worker_heartbeat(self, message: WorkerHeartbeat, _: Envelope) -> None:
        """Record a live worker and the chunks that it names. A stopping worker takes no chunks and is not counted."""
        self._state.record_heartbeat(message, time.monotonic())

    async def on_workers_query(self, _: WorkersQuery, __: Envelope) -> WorkersReply:
        """Return the live workers."""
        now, clock = datetime.now(UTC), time.monotonic()
        return WorkersReply(
            workers=[
                WorkerState(
                    worker_id=w.heartbeat.worker_id,
                    workloads=w.heartbeat.workloads,
                    chunks=w.heartbeat.chunks,
                    running=w.heartbeat.running,
                    stopping=w.heartbeat.stopping,
                    slots=w.heartbeat.slots,
                    seen_at=now - timedelta(seconds=clock - w.seen_at),
                )
                for w in self._state.workers
            ]
        )

    async def sweep(self, queue_depth: QueueDepth, reports_read_until: ReportsReadUntil) -> None:
        """Find and recover chunks that no worker holds, no queue contains and no unread report ends."""
        now = time.monotonic()
        self._state.drop_silent_workers(now - self._settings.worker_timeout_s)
        try:
            await self._recovery.recover(
                await self._orphans.find_orphans(queue_depth, reports_read_until), "never_sent"
            )
        finally:  # whatever becomes of the others
            await self._recovery.recover(await self._find_lost(queue_depth, reports_read_until, now), "expired")

    async def _find_lost(
        self, queue_depth: QueueDepth, reports_read_until: ReportsReadUntil, now: float
    ) -> list[tuple[Lease, int]]:
        """Return the lost chunks, each with the fence under which it was lost."""
        before = now - self._settings.lease_s
        expired = [
            (x, x.fence)
            for x in self._state.leases.values()
            if x.seen_at < before
            and self._state.workload_queue(x.workload).window.workers
            and not self._is_paused(x)
            and not self._orphans.is_watched(x)
        ]
        if not expired:
            return []
        lease_s = self._settings.lease_s
        read_until = max(await reports_read_until() - lease_s / 2, now - _MAX_UNREAD_LEASES * lease_s)
        expired = [(x, fence) for x, fence in expired if x.seen_at < read_until]
        waiting = {queue: await queue_depth(queue) for queue in {x.queue for x, _ in expired}}
        return [(x, fence) for x, fence in expired if x.seen_at < before and self._has_left(x, waiting.get(x.queue))]

    def _is_paused(self, lease: Lease) -> bool:
        """Tell whether the batch is paused; its lost chunks are dispatched when it resumes."""
        batch = self._state.batch_of(lease)
        return batch is not None and batch.paused

    def _has_left(self, lease: Lease, waiting: int | None) -> bool:
        """Tell whether a chunk has left its queue: the queue is empty, a worker has a much later chunk, or no worker
        consumes it."""
        if lease.quarantined and not self._state.workers.handles_quarantine(lease.workload):
            return True
        if not waiting:
            return waiting == 0
        return lease.sent_at + self._settings.lease_s < self._state.consumed_up_to.get(lease.queue, lease.sent_at)

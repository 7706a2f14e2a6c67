"""Knows the workers: what they announced, whether they live, and which chunks nobody holds any more."""

import time
from datetime import UTC, datetime, timedelta

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import WorkerAnnounced, WorkerHeartbeat
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply, WorkerState
from services.dispatcher.persistence.store import Store
from services.dispatcher.recovery.lost_chunks import Losses
from services.dispatcher.recovery.orphaned_chunks import Depth, Inherited
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.state.state import Lease, Yard


class Workers:
    """Announcements and heartbeats in, lost chunks out."""

    def __init__(
        self, yard: Yard, store: Store, losses: Losses, inherited: Inherited, settings: DispatcherSettings
    ) -> None:
        self._yard, self._store, self._losses, self._settings = yard, store, losses, settings
        self._inherited = inherited

    async def announced(self, message: WorkerAnnounced, _: Envelope) -> None:
        """A worker has started: keep what its workloads say of themselves."""
        await self._store.save_manifests(message)
        for manifest in message.manifests:
            self._yard.know(manifest)

    async def heartbeat(self, message: WorkerHeartbeat, _: Envelope) -> None:
        """A worker lives, and holds what it names. One that is stopping takes nothing more and is not counted."""
        self._yard.heard_of(message, time.monotonic())

    async def query(self, _: WorkersQuery, __: Envelope) -> WorkersReply:
        """The workers that live."""
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
                for w in self._yard.workers.values()
            ]
        )

    async def sweep(self, depth: Depth) -> None:
        """Find what no worker holds and no queue has."""
        now = time.monotonic()
        self._yard.forget_silent(now - self._settings.worker_timeout_s)
        await self._losses.unsent(await self._inherited.nowhere(depth))
        await self._losses.lost(await self._lost(depth, now))

    async def _lost(self, depth: Depth, now: float) -> list[tuple[Lease, int]]:
        """Chunks, each with the fencing number under which it was lost."""
        before = now - self._settings.lease_s
        stale = [
            (x, x.fence)
            for x in self._yard.leases.values()
            if x.seen_at < before
            and self._yard.line(x.workload).window.workers
            and not self._rests(x)
            and not self._inherited.judges(x)
        ]
        waiting = {queue: await depth(queue) for queue in {x.queue for x, _ in stale}}
        return [(x, fence) for x, fence in stale if x.seen_at < before and self._has_left(x, waiting.get(x.queue))]

    def _rests(self, lease: Lease) -> bool:
        """Whether its batch is paused: what was lost of it goes out when it goes on."""
        batch = self._yard.batches.get(lease.batch_id)
        return batch is not None and batch.paused

    def _has_left(self, lease: Lease, waiting: int | None) -> bool:
        """Whether a chunk is in its queue no more: that is empty, or a worker has what came in long after it, or
        nobody takes anything from it."""
        if lease.quarantined and not self._yard.isolates(lease.workload):
            return True
        if not waiting:
            return waiting == 0
        return lease.given_at + self._settings.lease_s < self._yard.reached.get(lease.queue, lease.given_at)

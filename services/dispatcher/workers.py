"""Knows the workers: what they announced, whether they live, and which chunks nobody holds any more."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SettledItem, WorkerAnnounced, WorkerHeartbeat
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply, WorkerState
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.chunks import Giver, Pages
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settlement import Settlement
from services.dispatcher.store import Store
from services.dispatcher.yard import Lease, Yard

log = structlog.get_logger()

Depth = Callable[[str], Awaitable[int | None]]
"""How many messages of a queue wait for a consumer; None: there is no such queue."""


class Workers:
    """Heartbeats in, lost chunks out."""

    def __init__(
        self, yard: Yard, store: Store, giver: Giver, settlement: Settlement, pages: Pages, settings: DispatcherSettings
    ) -> None:
        self._yard, self._store, self._giver, self._settlement, self._pages = yard, store, giver, settlement, pages
        self._settings = settings

    async def announced(self, message: WorkerAnnounced, _: Envelope) -> None:
        """A worker has started: keep what its workloads say of themselves."""
        await self._store.save_manifests(message)
        for manifest in message.manifests:
            self._yard.know(manifest)

    async def heartbeat(self, message: WorkerHeartbeat, _: Envelope) -> None:
        """A worker lives. One that has drained says so and is forgotten at once."""
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
                    seen_at=now - timedelta(seconds=clock - w.seen_at),
                )
                for w in self._yard.workers.values()
            ]
        )

    async def sweep(self, depth: Depth) -> None:
        """Give out again what no worker holds and no queue has. What was lost too often fails."""
        now = time.monotonic()
        self._yard.forget_silent(now - self._settings.worker_timeout_s)
        stale = [
            x
            for x in self._yard.leases.values()
            if x.seen_at < now - self._settings.lease_s and self._yard.line(x.workload).window.workers
        ]
        if not stale:
            return
        names = {topology.work_queue(x.workload, x.priority).name for x in stale}
        waiting = {name: await depth(name) for name in names}
        lost = [x for x in stale if waiting[topology.work_queue(x.workload, x.priority).name] == 0]
        if again := [x for x in lost if x.losses + 1 < self._settings.losses_max]:
            log.warning("chunks lost, given out again", chunks=len(again))
            await self._store.regive([x.chunk_id for x in again])
            for lease in again:
                lease.fence, lease.losses, lease.seen_at = lease.fence + 1, lease.losses + 1, now
            await self._giver.publish(again)
        for lease in [x for x in lost if x.losses + 1 >= self._settings.losses_max]:
            await self._fail(lease)

    async def _fail(self, lease: Lease) -> None:
        log.error("chunk lost too often", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
        lines = (await self._pages.items([lease]))[lease.chunk_id]
        error = ItemError(code="worker_lost", message=f"Its worker was lost {lease.losses + 1} times while it ran.")
        items = [
            SettledItem(ordinal=i["ordinal"], custom_id=i.get("custom_id"), attempts=lease.attempt, error=error)
            for i in map(orjson.loads, lines)
            if i["ordinal"] not in lease.reported
        ]
        if batch := self._yard.batches.get(lease.batch_id):
            await self._settlement.settle(batch, "failed", items)
        await self._store.report([], [lease.chunk_id], [(lease.batch_id, i.ordinal) for i in items])
        self._yard.release(lease)

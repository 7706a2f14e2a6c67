"""Knows the workers: what they announced, whether they live, and which chunks nobody holds any more."""

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SettledItem, WorkerAnnounced, WorkerHeartbeat
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply, WorkerState
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.chunks import Giver, Pages
from services.dispatcher.domain.loss import Fate, after_loss, groups
from services.dispatcher.domain.scheduler import Again, Range
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settlement import Settlement, Status
from services.dispatcher.store import Store
from services.dispatcher.yard import Lease, Yard

log = structlog.get_logger()

Depth = Callable[[str], Awaitable[int | None]]
"""How many messages of a queue wait for a consumer; None: there is no such queue."""

_ALONE = 2
"""Losses of an item after it was parted from its neighbours that make it fail: the first may still be their fault."""


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
                    seen_at=now - timedelta(seconds=clock - w.seen_at),
                )
                for w in self._yard.workers.values()
            ]
        )

    async def sweep(self, depth: Depth) -> None:
        """Give out again what no worker holds and no queue has, until it must be its items' own fault."""
        now = time.monotonic()
        self._yard.forget_silent(now - self._settings.worker_timeout_s)
        fates: dict[Fate, list[Lease]] = {"again": [], "apart": [], "fail": []}
        lost = await self._lost(depth, now)
        if over := [x for x in lost if x.batch_id not in self._yard.batches]:  # another run has ended the batch
            await self._store.report([], [x.chunk_id for x in over], [])
            for lease in over:
                self._yard.release(lease)
        for lease in [x for x in lost if x.batch_id in self._yard.batches]:
            fates[after_loss(lease.losses + 1, lease.source.count, lease.apart, self._settings.losses_max)].append(
                lease
            )
        if again := fates["again"]:
            log.warning("chunks lost, given out again", chunks=len(again))
            await self._store.regive([x.chunk_id for x in again])
            for lease in again:
                lease.fence, lease.losses, lease.seen_at = lease.fence + 1, lease.losses + 1, now
            await self._giver.publish(again)
        for lease in fates["apart"]:
            await self._take_apart(lease)
        for lease in fates["fail"]:
            log.error("item lost too often", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
            message = f"Its worker was lost {lease.losses + 1} times while it ran."
            await self._end(lease, "failed", ItemError(code="worker_lost", message=message))
        await self._let_out()

    async def _lost(self, depth: Depth, now: float) -> list[Lease]:
        before = now - self._settings.lease_s
        stale = [
            x
            for x in self._yard.leases.values()
            if x.fence and x.seen_at < before and self._yard.line(x.workload).window.workers
        ]
        waiting = {queue: await depth(queue) for queue in {x.queue for x in stale}}
        return [
            x
            for x in stale
            if x.chunk_id in self._yard.leases and x.seen_at < before and self._has_left(x, waiting[x.queue])
        ]

    def _has_left(self, lease: Lease, waiting: int | None) -> bool:
        """Whether a chunk is in its queue no more: that is empty, or a worker has what came in long after it."""
        if not waiting:
            return waiting == 0
        return lease.given_at + self._settings.lease_s < self._yard.reached.get(lease.queue, lease.given_at)

    async def _take_apart(self, lease: Lease) -> None:
        """Hold the items back as chunks of their own, so that one that kills workers does it alone."""
        source, ordinals = lease.source, await self._pages.ordinals(lease)
        places = [n for n, ordinal in enumerate(ordinals) if ordinal not in lease.reported]
        losses = lease.losses + 1 if len(places) == 1 else max(0, self._settings.losses_max - _ALONE)
        parts = [
            replace(
                lease,
                chunk_id=uuid.uuid4(),
                fence=0,
                losses=losses,
                apart=True,
                reported=set(),
                ordinals=None,
                source=Range(source.page, source.segment, source.first + group[0], len(group))
                if isinstance(source, Range)
                else Again(source.attempt, tuple(ordinals[n] for n in group)),
            )
            for group in groups(places)
        ]
        log.warning("chunk lost twice, taken apart", chunk_id=str(lease.chunk_id), parts=len(parts))
        await self._store.take_apart(lease.chunk_id, parts, losses)
        self._yard.release(lease)
        for part in parts:
            self._yard.resume(part)

    async def _let_out(self) -> None:
        """Let one part out for each workload that has none out."""
        busy = {x.workload for x in self._yard.leases.values() if x.apart and x.fence}
        for lease in [x for x in self._yard.leases.values() if not x.fence]:
            batch = self._yard.batches.get(lease.batch_id)
            if batch is None or batch.cancelled:
                await self._end(lease, "cancelled")
            elif not batch.paused and lease.workload not in busy and self._yard.line(lease.workload).window.workers:
                busy.add(lease.workload)
                lease.fence = 1
                self._yard.resume(lease)
                await self._giver.publish([lease])
                await self._store.let_out(lease.chunk_id)  # last: what is on record as out must not be lost unseen

    async def _end(self, lease: Lease, status: Status, error: ItemError | None = None) -> None:
        """End the items of a chunk without a further run."""
        lines = (await self._pages.items([lease]))[lease.chunk_id]
        items = [
            SettledItem(
                ordinal=ordinal,
                custom_id=orjson.loads(line).get("custom_id"),
                attempts=lease.attempt,
                error=error,
                partition=lease.partition,
            )
            for ordinal, line in lines.items()
            if ordinal not in lease.reported
        ]
        if batch := self._yard.batches.get(lease.batch_id):
            await self._settlement.settle(batch, status, items)
        await self._store.report([], [lease.chunk_id], [(lease.batch_id, i.ordinal) for i in items])
        self._yard.release(lease)

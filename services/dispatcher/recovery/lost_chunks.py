"""Gives lost chunks out again, so that one which kills its workers kills no more of them, and comes to an end."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from batchyard_contracts.v1.flow import ChunkReturned
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.dispatching.chunk_publisher import ChunksRefused, Giver
from services.dispatcher.dispatching.undeliverable import Refusals
from services.dispatcher.domain.lost_chunk_policy import Fate, after_loss, halves, losses_of_half
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Store
from services.dispatcher.recovery.start_permits import Beginnings
from services.dispatcher.settlement.settler import Settlement, Status
from services.dispatcher.state.state import Lease, Yard
from shared.messaging.batch_consumer import Received

log = structlog.get_logger()


class Losses:
    """What becomes of chunks whose worker is gone."""

    def __init__(
        self,
        yard: Yard,
        store: Store,
        giver: Giver,
        settlement: Settlement,
        pages: Pages,
        beginnings: Beginnings,
        refusals: Refusals,
        losses_max: int,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._yard, self._store, self._giver, self._settlement, self._pages = yard, store, giver, settlement, pages
        self._refusals, self._losses_max, self._waiting = refusals, losses_max, waiting
        self._beginnings, self._lock = beginnings, beginnings.lock
        """Workers return chunks while others are found to be lost, and ask for leave to begin items of them."""

    async def returned(self, received: Sequence[Received]) -> None:
        """Handle `chunk.returned.v1`. One under an old fencing number, or of no lease, is late and ignored.

        A chunk comes twice when its worker was lost, but also when merely the connection was: so nothing is blamed
        for it. If blame would be next, the lease has to run out first, which it does not while a worker names it.
        """
        lost, back = [], []
        for message in (r.message for r in received if isinstance(r.message, ChunkReturned)):
            lease = self._yard.leases.get(message.chunk_id)
            if lease is None or lease.fence != message.fence:
                continue
            batch = self._yard.batches.get(lease.batch_id)
            if batch is not None and batch.stopped:
                lost.append((lease, lease.fence))
            elif message.reason == "stopping":
                back.append(lease)
            elif lease.open_begun:
                continue  # who began them may still be at it, and then reports them
            elif await self._fate(lease) == "again":
                lost.append((lease, lease.fence))
        async with self._lock:
            await self._beginnings.end_lost(back)
            await self._give_again(back)
        await self.lost(lost, isolate=True)

    async def lost(self, leases: Iterable[tuple[Lease, int]], *, isolate: bool | None = None) -> None:
        """Give these chunks out again that were lost under these fencing numbers, or end them.

        `isolate`: whether some worker takes quarantined chunks; None: those tell that are heard of.
        """
        async with self._lock:
            fates: dict[Fate, list[Lease]] = {"again": [], "halve": [], "fail": []}
            lost = await self._going_on(leases)
            await self._beginnings.end_lost(lost)
            for lease in lost:
                fates[await self._fate(lease)].append(lease)
            for lease in fates["fail"]:
                log.error("item lost too often", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
                message = f"Its worker was lost {lease.losses + 1} times while it ran, at last alone."
                await self._end(lease, "failed", ItemError(code="worker_lost", message=message))
            parts = [part for lease in fates["halve"] for part in await self._halve(lease)]
            await self._give_again(fates["again"], losses=1, isolate=isolate)
            await self._publish(parts)

    async def unsent(self, leases: Sequence[tuple[Lease, int]]) -> None:
        """Let these chunks go out that nobody has, though they were on record when this dispatcher began.

        They keep their fencing number. Should a worker have one after all, then what it reports counts, the later
        report is ignored as one of a chunk that has ended, and the same worker never runs both. Under a new number
        the first report would be ignored, and each item run twice. Nothing is blamed, but only once.
        """
        before = [(lease, fence) for lease, fence in leases if lease.resent or lease.holder]
        never = [(lease, fence) for lease, fence in leases if not (lease.resent or lease.holder)]
        async with self._lock:
            if again := await self._going_on(never):
                await self._store.resend(again)
                log.warning("chunks had not gone out, given out now", chunks=len(again))
                for lease in again:
                    lease.resent = True
                await self._publish(again)
        await self.lost(before)

    async def _going_on(self, leases: Iterable[tuple[Lease, int]]) -> list[Lease]:
        """Those that still are as they were found, and whose batch runs. Others end, or wait for their batch."""
        found = []
        for lease, fence in leases:
            batch = self._yard.batches.get(lease.batch_id)
            if self._yard.leases.get(lease.chunk_id) is not lease or lease.fence != fence:
                continue
            if batch is None:  # another run has ended it
                await self._store.report([], [lease.chunk_id], [])
                self._yard.release(lease)
            elif batch.stopped:
                await self._end(lease, batch.stopped)
            elif batch.paused:
                lease.seen_at = -1.0  # nobody holds it: it goes out when the batch goes on
            else:
                found.append(lease)
        return found

    async def _fate(self, lease: Lease) -> Fate:
        return after_loss(lease.losses + 1, len(await self._left(lease)), self._losses_max)

    async def _left(self, lease: Lease) -> list[int]:
        return [ordinal for ordinal in await self._pages.ordinals(lease) if ordinal not in lease.reported]

    async def _give_again(self, leases: Sequence[Lease], *, losses: int = 0, isolate: bool | None = None) -> None:
        """Under a new fencing number. Those with a loss go to where each runs by itself, if there is such a place."""
        if not leases:
            return
        changed = [
            replace(
                x,
                fence=x.fence + 1,
                losses=x.losses + losses,
                quarantined=self._isolated(x, isolate) if losses else x.quarantined,
            )
            for x in leases
        ]
        await self._store.regive(changed)
        if losses:
            log.warning("chunks lost, given out again", chunks=len(leases), batches=len({x.batch_id for x in leases}))
        now = time.monotonic()
        for lease, new in zip(leases, changed, strict=True):
            lease.fence, lease.losses, lease.quarantined, lease.seen_at = new.fence, new.losses, new.quarantined, now
            lease.holder = None
        await self._publish(leases)

    def _isolated(self, lease: Lease, isolate: bool | None) -> bool:
        return self._yard.isolates(lease.workload) if isolate is None else isolate

    async def _publish(self, leases: Sequence[Lease]) -> None:
        try:
            await self._giver.publish(leases)
        except ChunksRefused as error:
            await self._refusals.note(error, self._waiting)

    async def _halve(self, lease: Lease) -> list[Lease]:
        """Record two chunks in place of one. Their ids follow from its own, so that this may be done twice."""
        parts = []
        ordinals = await self._pages.ordinals(lease)
        for number, source in enumerate(halves(lease.source, ordinals, lease.reported)):
            part = replace(
                lease,
                chunk_id=uuid.uuid5(lease.chunk_id, f"half {number}"),
                fence=1,
                source=source,
                ordinals=None,
                resent=False,
                holder=None,
                begun=set(),
                quarantined=self._yard.isolates(lease.workload),
            )
            own = await self._pages.ordinals(part)
            part.reported = lease.reported.intersection(own)
            part.losses = losses_of_half(len(own) - len(part.reported), self._losses_max)
            parts.append(part)
        log.warning("chunk lost too often, halved", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
        await self._store.halve(lease.chunk_id, parts)
        self._yard.release(lease)
        for part in parts:
            self._yard.resume(part)
        return parts

    async def _end(self, lease: Lease, status: Status, error: ItemError | None = None) -> None:
        """End the items of a chunk without a further run."""
        items = await self._pages.settled(lease, await self._left(lease), error)
        if batch := self._yard.batches.get(lease.batch_id):
            await self._settlement.settle(batch, status, items)
        await self._store.report([], [lease.chunk_id], [(lease.batch_id, i.ordinal) for i in items])
        self._yard.release(lease)

"""Gives lost chunks out again, so that one which kills its workers kills no more of them, and comes to an end."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence

import structlog

from batchyard_contracts.v1.flow import ChunkReturned
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.domain.lost_chunk_policy import LossAction, action_after_loss, halves, losses_of_half
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.start_permits import StartPermits
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.lease import Lease
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import DecodedMessage

log = structlog.get_logger()


class LostChunkRecovery:
    """What becomes of chunks whose worker is gone."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        publisher: ChunkPublisher,
        settler: ItemSettler,
        pages: PageCache,
        start_permits: StartPermits,
        undeliverable: UndeliverableChunks,
        max_chunk_losses: int,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._state, self._stores, self._publisher, self._settler, self._pages = (
            state,
            stores,
            publisher,
            settler,
            pages,
        )
        self._undeliverable, self._losses_max, self._on_wait = undeliverable, max_chunk_losses, on_wait
        self._start_permits, self._lock = start_permits, start_permits.lock
        """Workers return chunks while others are found to be lost, and ask for leave to begin items of them."""

    async def on_chunks_returned(self, received: Sequence[DecodedMessage]) -> None:
        """Handle `chunk.returned.v1`. One under an old fencing number, or of no lease, is late and ignored.

        A chunk comes twice when its worker was lost, but also when merely the connection was: so nothing is blamed
        for it. If blame would be next, the lease has to run out first, which it does not while a worker names it.
        """
        lost, returned = [], []
        for message in (r.message for r in received if isinstance(r.message, ChunkReturned)):
            lease = self._state.leases.get(message.chunk_id)
            if lease is None or lease.fence != message.fence:
                continue
            batch = self._state.batches.get(lease.batch_id)
            if batch is not None and batch.stop_status:
                lost.append((lease, lease.fence))
            elif message.reason == "stopping":
                returned.append(lease)
            elif lease.unreported_started:
                continue  # who began them may still be at it, and then reports them
            elif await self._action(lease) == "again":
                lost.append((lease, lease.fence))
        async with self._lock:
            await self._start_permits.fail_started(returned)
            await self._redispatch(returned)
        await self.recover(lost, quarantine=True)

    async def recover(self, leases: Iterable[tuple[Lease, int]], *, quarantine: bool | None = None) -> None:
        """Give these chunks out again that were lost under these fencing numbers, or end them.

        `isolate`: whether some worker takes quarantined chunks; None: those tell that are heard of.
        """
        async with self._lock:
            actions: dict[LossAction, list[Lease]] = {"again": [], "halve": [], "fail": []}
            lost = await self._recoverable(leases)
            await self._start_permits.fail_started(lost)
            for lease in lost:
                actions[await self._action(lease)].append(lease)
            for lease in actions["fail"]:
                log.error("item lost too often", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
                message = f"Its worker was lost {lease.losses + 1} times while it ran, at last alone."
                await self._end(lease, "failed", ItemError(code="worker_lost", message=message))
            parts = [part for lease in actions["halve"] for part in await self._halve(lease)]
            await self._redispatch(actions["again"], losses=1, quarantine=quarantine)
            await self._publish(parts)

    async def resend(self, leases: Sequence[tuple[Lease, int]]) -> None:
        """Let these chunks go out that nobody has, though they were on record when this dispatcher began.

        They keep their fencing number. Should a worker have one after all, then what it reports counts, the later
        report is ignored as one of a chunk that has ended, and the same worker never runs both. Under a new number
        the first report would be ignored, and each item run twice. Nothing is blamed, but only once.
        """
        sent_before = [(lease, fence) for lease, fence in leases if lease.resent or lease.holder]
        never_sent = [(lease, fence) for lease, fence in leases if not (lease.resent or lease.holder)]
        async with self._lock:
            if orphans := await self._recoverable(never_sent):
                await self._stores.leases.save_resent(orphans)
                log.warning("chunks had not gone out, given out now", chunks=len(orphans))
                self._state.leases.mark_resent(orphans)
                await self._publish(orphans)
        await self.recover(sent_before)

    async def _recoverable(self, leases: Iterable[tuple[Lease, int]]) -> list[Lease]:
        """Those that still are as they were found, and whose batch runs. Others end, or wait for their batch."""
        found = []
        for lease, fence in leases:
            batch = self._state.batches.get(lease.batch_id)
            if self._state.leases.get(lease.chunk_id) is not lease or lease.fence != fence:
                continue
            if batch is None:  # another run has ended it
                await self._stores.leases.end([lease.chunk_id])
                self._state.release_lease(lease)
            elif batch.stop_status:
                await self._end(lease, batch.stop_status)
            elif batch.paused:
                self._state.leases.mark_overdue(lease)  # nobody holds it: it goes out when the batch goes on
            else:
                found.append(lease)
        return found

    async def _action(self, lease: Lease) -> LossAction:
        return action_after_loss(lease.losses + 1, len(await self._unreported(lease)), self._losses_max)

    async def _unreported(self, lease: Lease) -> list[int]:
        return [ordinal for ordinal in await self._pages.ordinals(lease) if ordinal not in lease.reported]

    async def _redispatch(self, leases: Sequence[Lease], *, losses: int = 0, quarantine: bool | None = None) -> None:
        """Under a new fencing number. Those with a loss go to where each runs by itself, if there is such a place."""
        if not leases:
            return
        changed = [
            self._state.leases.bumped(
                x, losses=losses, quarantined=self._is_quarantined(x, quarantine) if losses else x.quarantined
            )
            for x in leases
        ]
        await self._stores.leases.save_redispatch(changed)
        if losses:
            log.warning("chunks lost, given out again", chunks=len(leases), batches=len({x.batch_id for x in leases}))
        now = time.monotonic()
        for lease, new in zip(leases, changed, strict=True):
            self._state.leases.bump_fence(lease, new, now)
        await self._publish(leases)

    def _is_quarantined(self, lease: Lease, quarantine: bool | None) -> bool:
        return self._state.handles_quarantine(lease.workload) if quarantine is None else quarantine

    async def _publish(self, leases: Sequence[Lease]) -> None:
        try:
            await self._publisher.publish(leases)
        except ChunksRefused as error:
            await self._undeliverable.record(error, self._on_wait)

    async def _halve(self, lease: Lease) -> list[Lease]:
        """Record two chunks in place of one. Their ids follow from its own, so that this may be done twice."""
        ordinals = await self._pages.ordinals(lease)
        parts = self._state.leases.split(
            lease,
            [uuid.uuid5(lease.chunk_id, f"half {number}") for number in range(2)],
            halves(lease.source, ordinals, lease.reported),
            ordinals,
            quarantined=self._state.handles_quarantine(lease.workload),
            losses_of=lambda remaining: losses_of_half(remaining, self._losses_max),
        )
        log.warning("chunk lost too often, halved", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
        await self._stores.leases.replace_lease(lease.chunk_id, parts)
        self._state.release_lease(lease)
        for part in parts:
            self._state.add_lease(part)
        return parts

    async def _end(self, lease: Lease, status: SettledStatus, error: ItemError | None = None) -> None:
        """End the items of a chunk without a further run."""
        items = await self._pages.settled_items(lease, await self._unreported(lease), error)
        if batch := self._state.batches.get(lease.batch_id):
            await self._settler.settle(batch, status, items)
        await self._stores.leases.end_items(lease, [item.ordinal for item in items])
        self._state.release_lease(lease)

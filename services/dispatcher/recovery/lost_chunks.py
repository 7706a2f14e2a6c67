"""Dispatches lost chunks again, so that a chunk which crashes its workers stops doing so and ends."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence

import structlog

from batchyard_contracts.v1.flow import ChunkReturned
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.lost_chunk_policy import LossAction, action_after_loss, halves, losses_of_half
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.recovery.start_permits import StartPermits
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import DecodedMessage

log = structlog.get_logger()


class LostChunkRecovery:
    """Handles chunks whose worker is lost."""

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
        """Shared with `StartPermits`: workers return chunks while others are found lost or ask for permits."""

    async def on_chunks_returned(self, received: Sequence[DecodedMessage]) -> None:
        """Handle `chunk.returned.v1`. A message with an old fence, or without a lease, is late and ignored.

        A chunk is redelivered when its worker was lost, but also when only the connection was, so no loss is counted
        here. If a loss would count, the lease has to expire first, which it does not while a worker names it.
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
                continue  # the worker that started them may still run them, and then reports them
            elif await self._action(lease) == "again":
                lost.append((lease, lease.fence))
        async with self._lock:
            await self._start_permits.fail_started(returned)
            await self._redispatch(returned)
        await self.recover(lost, quarantine=True)

    async def recover(self, leases: Iterable[tuple[Lease, int]], *, quarantine: bool | None = None) -> None:
        """Dispatch the chunks that were lost under these fences again, or end them.

        `quarantine`: True if a worker takes quarantined chunks; None: decided by the known workers.
        """
        async with self._lock:
            actions: dict[LossAction, list[Lease]] = {"again": [], "halve": [], "fail": []}
            lost = await self._recoverable(leases)
            await self._start_permits.fail_started(lost)
            for lease in lost:
                actions[await self._action(lease)].append(lease)
            for lease in actions["fail"]:
                log.error(
                    "item failed after repeated losses", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id)
                )
                message = f"Its worker was lost {lease.losses + 1} times while it ran, at last alone."
                await self._end(lease, "failed", ItemError(code="worker_lost", message=message))
            parts = [part for lease in actions["halve"] for part in await self._halve(lease)]
            await self._redispatch(actions["again"], losses=1, quarantine=quarantine)
            await self._publish(parts)

    async def resend(self, leases: Sequence[tuple[Lease, int]]) -> None:
        """Send chunks that no worker has, although they were recorded when this dispatcher became active.

        They keep their fence. If a worker has one after all, its report counts, the later report is ignored, and the
        same worker never runs both. Under a new fence the first report would be ignored and each item would run twice.
        No loss is counted, and a chunk is resent only once.
        """
        sent_before = [(lease, fence) for lease, fence in leases if lease.resent or lease.holder]
        never_sent = [(lease, fence) for lease, fence in leases if not (lease.resent or lease.holder)]
        async with self._lock:
            if orphans := await self._recoverable(never_sent):
                await self._stores.leases.save_resent(orphans)
                log.warning("orphaned chunks dispatched", chunks=len(orphans))
                self._state.leases.mark_resent(orphans)
                await self._publish(orphans)
        await self.recover(sent_before)

    async def _recoverable(self, leases: Iterable[tuple[Lease, int]]) -> list[Lease]:
        """Return the chunks that are unchanged and whose batch runs. The others end, or wait for their batch."""
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
                self._state.leases.mark_overdue(lease)  # no worker holds it, so it is dispatched when the batch resumes
            else:
                found.append(lease)
        return found

    async def _action(self, lease: Lease) -> LossAction:
        return action_after_loss(lease.losses + 1, len(await self._unreported(lease)), self._losses_max)

    async def _unreported(self, lease: Lease) -> list[int]:
        return [ordinal for ordinal in await self._pages.ordinals(lease) if ordinal not in lease.reported]

    async def _redispatch(self, leases: Sequence[Lease], *, losses: int = 0, quarantine: bool | None = None) -> None:
        """Dispatch chunks with a new fence. Chunks with a loss go to quarantine if a worker takes it."""
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
            log.warning("lost chunks dispatched again", chunks=len(leases), batches=len({x.batch_id for x in leases}))
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
        """Save two chunks in place of one. Their ids are derived from its id, so that this may be repeated."""
        ordinals = await self._pages.ordinals(lease)
        parts = self._state.leases.split(
            lease,
            [uuid.uuid5(lease.chunk_id, f"half {number}") for number in range(2)],
            halves(lease.source, ordinals, lease.reported),
            ordinals,
            quarantined=self._state.handles_quarantine(lease.workload),
            losses_of=lambda remaining: losses_of_half(remaining, self._losses_max),
        )
        log.warning("chunk halved after repeated losses", chunk_id=str(lease.chunk_id), batch_id=str(lease.batch_id))
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

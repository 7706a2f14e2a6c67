"""Ends stopped batches: cancelled, past their deadline, or stopped by another service.

The stop is saved before anything follows, so the next active dispatcher continues it. The remaining items are settled
in the background, since there may be a million of them and other batches are controlled meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchStopped
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import settled_item
from services.dispatcher.domain.lease import Lease
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_MAX_CONCURRENT_BATCHES = 4
"""Number of batches that are settled at the same time."""
_LEASES_PER_PUBLISH = 20
_IDLE_S = 5.0


class BatchStopper:
    """Watches the deadlines and settles the remaining items of stopped batches."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        settler: ItemSettler,
        pages: PageCache,
        publisher: Publisher,
        pulse: Pulse,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._state, self._stores, self._settler, self._pages = state, stores, settler, pages
        self._publisher, self._pulse, self._clock = publisher, pulse, clock
        self._wake = asyncio.Event()
        self._scheduled: dict[UUID, Batch] = {}
        self._running: dict[UUID, asyncio.Task[None]] = {}

    def schedule(self, batch: Batch) -> None:
        """Settle the remaining items of a stopped batch soon."""
        self._scheduled[batch.batch_id] = batch
        self._wake.set()

    def wake(self) -> None:
        """Check the deadlines again, since one may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Settle stopped batches and watch the deadlines until cancelled."""
        try:
            while True:
                self._pulse.beat()
                self._wake.clear()
                await self.expire_overdue()
                self._start_scheduled()
                if error := next((e for t in self._running.values() if t.done() and (e := t.exception())), None):
                    raise error
                await self._sleep()
        finally:
            self._pulse.stop()
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def expire_overdue(self) -> None:
        """Stop the batches whose deadline has passed."""
        now = self._clock()
        for batch_id in [b for b, deadline in self._state.deadlines.items() if deadline <= now]:
            await retry_transient(lambda b=batch_id: self._expire(b), "PostgreSQL", on_wait=self._pulse.beat)  # type: ignore[misc]

    async def drain(self) -> None:
        """Settle all scheduled batches before returning."""
        while self._scheduled:
            await self._settle(self._scheduled.popitem()[1])

    async def _expire(self, batch_id: UUID) -> None:
        async with self._state.control_lock:
            batch = self._state.batches.get(batch_id)
            if batch is None or batch.stop_status:
                return
            await self._stores.batches.save_stop(batch_id, batch.round, "deadline")
            batch.stop_reason = "deadline"
            self._state.apply_control(batch)
        log.info("deadline passed", batch_id=str(batch_id), round=batch.round)
        self.schedule(batch)

    def _start_scheduled(self) -> None:
        self._running = {b: task for b, task in self._running.items() if not task.done() or task.exception()}
        for batch_id in [b for b in self._scheduled if b not in self._running]:
            if len(self._running) < _MAX_CONCURRENT_BATCHES:
                batch = self._scheduled.pop(batch_id)
                task = asyncio.create_task(retry_transient(lambda b=batch: self._settle(b), "settlement"))  # type: ignore[misc]
                self._running[batch_id] = task
                task.add_done_callback(lambda _: self._wake.set())

    async def _settle(self, batch: Batch) -> None:
        """Settle the remaining items of a batch. After a deadline, items in flight expire first, before the workers are
        told to stop, since the first outcome counts."""
        status = batch.stop_status
        if status is None:
            return
        if batch.stop_reason == "deadline" and not batch.stop_published:
            leases = [x for x in self._state.leases.values() if x.is_of(batch)]
            for start in range(0, len(leases), _LEASES_PER_PUBLISH):
                await self._settle_leases(batch, status, leases[start : start + _LEASES_PER_PUBLISH])
            stopped = outgoing(topology.FLOW, self._stopped_message(batch), traceparent=batch.traceparent)
            await self._publisher.publish([stopped])
            batch.stop_published = True
        await self._settler.settle_waiting(batch, status)

    async def _settle_leases(self, batch: Batch, status: SettledStatus, leases: Sequence[Lease]) -> None:
        items_by_chunk = await self._pages.items(leases)
        remaining = [(x, line) for x in leases for o, line in items_by_chunk[x.chunk_id].items() if o not in x.reported]
        items = [settled_item(line, lease.partition, lease.attempt) for lease, line in remaining]
        await self._settler.settle(batch, status, items)
        await self._settler.cancel_externally(batch, [(lease.partition, line) for lease, line in remaining])

    def _stopped_message(self, batch: Batch) -> BatchStopped:
        return BatchStopped(
            batch_id=batch.batch_id,
            owner=batch.owner,
            round=batch.round,
            reason="deadline",
            detail=f"Its deadline, {batch.terms.deadline}, has passed.",
            at=self._clock(),
        )

    async def _sleep(self) -> None:
        wait_s = _IDLE_S
        if self._state.deadlines:
            wait_s = min(wait_s, (min(self._state.deadlines.values()) - self._clock()).total_seconds())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._wake.wait()
        except TimeoutError:
            return

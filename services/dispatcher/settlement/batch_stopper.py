"""Ends stopped batches: cancelled, past their deadline, or stopped by another service.

The stop is saved before anything follows, so the next active dispatcher continues it. The remaining items are settled
in the background, since there may be a million of them and other batches are controlled meanwhile.
"""

import asyncio
import time
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
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_MAX_CONCURRENT_BATCHES = 4
"""Number of batches that are settled at the same time."""
_LEASES_PER_PUBLISH = 20
_IDLE_S = 5.0
_RETRY_S = 30.0
"""Pause in seconds before a batch whose settlement failed is settled again."""


class BatchStopper(BackgroundTask):
    """Watches the deadlines and settles the remaining items of stopped batches.

    An error ends nothing: the stop is saved, and the settlement of a batch may be repeated at any time. A batch whose
    settlement fails is settled again later, and holds up no other.
    """

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        settler: ItemSettler,
        pages: PageCache,
        publisher: Publisher,
        pulse: Pulse,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(pulse, self._stop_batches, interval_s=_IDLE_S, on_stop=self._cancel_settlements)
        self._state, self._stores, self._settler, self._pages = state, stores, settler, pages
        self._publisher, self._utc_now = publisher, utc_now
        self._scheduled: dict[UUID, Batch] = {}
        self._settlements: dict[UUID, tuple[asyncio.Task[None], Batch]] = {}
        self._retry_at: dict[UUID, float] = {}
        """Times (monotonic seconds) before which the batches whose settlement failed are not settled again."""

    def schedule(self, batch: Batch) -> None:
        """Settle the remaining items of a stopped batch soon."""
        self._scheduled[batch.batch_id] = batch
        self._wake.set()

    def wake(self) -> None:
        """Check the deadlines again, since one may have changed."""
        self._wake.set()

    async def _stop_batches(self) -> float:
        """Settle the stopped batches and those whose deadline has passed; return the seconds until the next one."""
        errors = self._take_errors()
        self._start_scheduled()
        await self.expire_overdue()
        if errors:
            raise ExceptionGroup("batches not settled", errors)
        wait_s = _IDLE_S
        if self._state.deadlines:
            wait_s = min(wait_s, (min(self._state.deadlines.values()) - self._utc_now()).total_seconds())
        return wait_s

    async def expire_overdue(self) -> None:
        """Stop the batches whose deadline has passed."""
        now = self._utc_now()
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

    def _take_errors(self) -> list[Exception]:
        """Forget the settlements that have ended, and schedule the failed ones again; return their errors."""
        errors: list[Exception] = []
        for batch_id, (task, batch) in list(self._settlements.items()):
            if task.done():
                del self._settlements[batch_id]
                if isinstance(error := task.exception(), Exception):
                    errors.append(error)
                    self._retry_at[batch_id] = time.monotonic() + _RETRY_S
                    self._scheduled.setdefault(batch_id, batch)
        return errors

    def _start_scheduled(self) -> None:
        now = time.monotonic()
        self._retry_at = {batch_id: at for batch_id, at in self._retry_at.items() if at > now}
        for batch_id in [b for b in self._scheduled if b not in self._settlements and b not in self._retry_at]:
            if len(self._settlements) < _MAX_CONCURRENT_BATCHES:
                batch = self._scheduled.pop(batch_id)
                task = asyncio.create_task(retry_transient(lambda b=batch: self._settle(b), "settlement"))  # type: ignore[misc]
                self._settlements[batch_id] = (task, batch)
                task.add_done_callback(lambda _: self._wake.set())

    async def _cancel_settlements(self) -> None:
        tasks = [task for task, _ in self._settlements.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            at=self._utc_now(),
        )

"""Ends stopped batches: cancelled, past their deadline, stopped by another service, or by a defect that they meet.

The stop is saved before anything follows, so the next active dispatcher continues it. The remaining items are settled
in the background, since there may be a million of them and other batches are controlled meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchStopped
from batchyard_contracts.v1.values import StopReason
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import settled_item
from services.dispatcher.domain.lease import Lease
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import DispatcherState
from shared.messaging.publisher import Publisher, outgoing
from shared.observability import metrics
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_MAX_CONCURRENT_BATCHES = 4
"""Number of batches that are settled at the same time."""
_LEASES_PER_PUBLISH = 20
_IDLE_S = 5.0
_RETRY_S = 30.0
"""Pause in seconds before a batch whose stop or settlement failed is stopped or settled again."""
_OWN_REASONS: frozenset[StopReason] = frozenset({"deadline", "internal_error"})
"""Reasons for which the dispatcher itself stops a batch, and tells the other services."""
_DEFECT = "A computation for this batch failed, which is a defect. The dispatcher's log has the details: report them."
_set_aside = metrics.counter(
    "batchyard.batches.set_aside", "Batches that were stopped since a computation for them failed, by workload."
)


class BatchStopper(BackgroundTask):
    """Watches the deadlines and settles the remaining items of stopped batches.

    An error ends nothing: the stop is saved, and the settlement of a batch may be repeated at any time. A batch whose
    stop or settlement fails is tried again later, and holds up no other.
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
        """Times (monotonic seconds) before which the batches that could not be stopped or settled are left alone."""
        self._failed: dict[UUID, Exception] = {}
        """Batches that are to be stopped because a computation for them failed."""

    def schedule(self, batch: Batch) -> None:
        """Settle the remaining items of a stopped batch soon."""
        self._scheduled[batch.batch_id] = batch
        self._wake.set()

    def stop_failed(self, batch_id: UUID, error: Exception) -> None:
        """Stop a batch soon, and for good in this round, since a computation for it failed."""
        if batch_id in self._failed:
            return
        batch = self._state.batches.get(batch_id)
        workload = batch.workload if batch else "unknown"
        _set_aside.add(1, {"workload": workload})
        log.error("batch set aside", batch_id=str(batch_id), workload=workload, exc_info=error)
        self._failed[batch_id] = error
        self._wake.set()

    def wake(self) -> None:
        """Check the deadlines again, since one may have changed."""
        self._wake.set()

    async def _stop_batches(self) -> float:
        """Settle the stopped batches and those whose deadline has passed; return the seconds until the next one."""
        now = time.monotonic()
        self._retry_at = {batch_id: at for batch_id, at in self._retry_at.items() if at > now}
        errors = self._take_errors()
        self._start_scheduled()
        errors += await self.stop_due()
        if errors:
            raise ExceptionGroup("batches not stopped or settled", errors)
        wait_s = _IDLE_S
        if awaited := [at for batch_id, at in self._state.deadlines.items() if batch_id not in self._retry_at]:
            wait_s = min(wait_s, (min(awaited) - self._utc_now()).total_seconds())
        return wait_s

    async def stop_due(self) -> list[Exception]:
        """Stop the batches whose deadline has passed, and those that failed; return the errors of those that could not
        be stopped."""
        now = self._utc_now()
        due: dict[UUID, StopReason] = {
            b: "deadline" for b, deadline in self._state.deadlines.items() if deadline <= now
        }
        due |= dict.fromkeys(self._failed, "internal_error")
        errors: list[Exception] = []
        for batch_id, reason in due.items():
            if batch_id in self._retry_at:
                continue
            stop = partial(self._stop, batch_id, reason)
            try:
                await retry_transient(stop, "PostgreSQL", on_wait=self._pulse.beat)
            except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                self._retry_at[batch_id] = time.monotonic() + _RETRY_S
                errors.append(error)
            else:
                self._failed.pop(batch_id, None)
        return errors

    async def drain(self) -> None:
        """Settle all scheduled batches before returning."""
        while self._scheduled:
            await self._settle(self._scheduled.popitem()[1])

    async def _stop(self, batch_id: UUID, reason: StopReason) -> None:
        async with self._state.control_lock:
            batch = self._state.batches.get(batch_id)
            if batch is None or batch.stop_status:
                return
            await self._stores.batches.save_stop(batch_id, batch.round, reason)
            batch.stop_reason = reason
            self._state.apply_control(batch)
        log.info("batch stopped", batch_id=str(batch_id), round=batch.round, reason=reason)
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
        """Settle the remaining items of a batch. Where the dispatcher decided on the stop, items in flight end before
        the workers are told, since the first outcome counts."""
        status = batch.stop_status
        if status is None:
            return
        if batch.stop_reason in _OWN_REASONS and not batch.stop_published:
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
        reason = batch.stop_reason or "internal_error"
        return BatchStopped(
            batch_id=batch.batch_id,
            owner=batch.owner,
            round=batch.round,
            reason=reason,
            detail=f"Its deadline, {batch.terms.deadline}, has passed." if reason == "deadline" else _defect(batch),
            at=self._utc_now(),
        )


def _defect(batch: Batch) -> str:
    if batch.unreadable:
        return f"Its stored {batch.unreadable} cannot be read, which is a defect. The dispatcher's log has the details."
    return _DEFECT

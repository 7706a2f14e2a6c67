"""Ends batches that were stopped: told to cancel, past their deadline, or stopped by another service.

That a batch is stopped is on record before anything follows, so whoever is active next goes on with it. What is left is
settled aside, since there may be a million items of it and other batches are steered meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson
import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchStopped, SettledItem
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Store
from services.dispatcher.settlement.settler import Settlement, Status
from services.dispatcher.state.state import Batch, Lease, Yard
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_SIDE_BY_SIDE = 4
"""Batches that are settled at once."""
_LEASES_AT_ONCE = 20
_IDLE_S = 5.0


class Stops:
    """Keeps the deadlines, and settles what stopped batches leave behind."""

    def __init__(
        self,
        yard: Yard,
        store: Store,
        settlement: Settlement,
        pages: Pages,
        publisher: Publisher,
        pulse: Pulse,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._yard, self._store, self._settlement, self._pages = yard, store, settlement, pages
        self._publisher, self._pulse, self._clock = publisher, pulse, clock
        self._look = asyncio.Event()
        self._wanted: dict[UUID, Batch] = {}
        self._running: dict[UUID, asyncio.Task[None]] = {}

    def settle(self, batch: Batch) -> None:
        """A stopped batch may have something left: end it soon."""
        self._wanted[batch.batch_id] = batch
        self._look.set()

    def look(self) -> None:
        """A deadline may have changed."""
        self._look.set()

    async def run(self) -> None:
        """Settle, and watch the deadlines, until cancelled."""
        try:
            while True:
                self._pulse.beat()
                self._look.clear()
                await self.expire()
                self._begin()
                if error := next((e for t in self._running.values() if t.done() and (e := t.exception())), None):
                    raise error
                await self._sleep()
        finally:
            self._pulse.rest()
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def expire(self) -> None:
        """Stop the batches whose deadline has passed."""
        now = self._clock()
        for batch_id in [b for b, deadline in self._yard.deadlines.items() if deadline <= now]:
            await retry_transient(lambda b=batch_id: self._expire(b), "PostgreSQL", waiting=self._pulse.beat)  # type: ignore[misc]

    async def drain(self) -> None:
        """Settle what was asked for, here and now."""
        while self._wanted:
            await self._settle(self._wanted.popitem()[1])

    async def _expire(self, batch_id: UUID) -> None:
        async with self._yard.intake:
            batch = self._yard.batches.get(batch_id)
            if batch is None or batch.stopped:
                return
            await self._store.stop(batch_id, batch.round, "deadline")
            batch.cause = "deadline"
            self._yard.steered(batch)
        log.info("deadline passed", batch_id=str(batch_id), round=batch.round)
        self.settle(batch)

    def _begin(self) -> None:
        self._running = {b: task for b, task in self._running.items() if not task.done() or task.exception()}
        for batch_id in [b for b in self._wanted if b not in self._running]:
            if len(self._running) < _SIDE_BY_SIDE:
                batch = self._wanted.pop(batch_id)
                task = asyncio.create_task(retry_transient(lambda b=batch: self._settle(b), "settlement"))  # type: ignore[misc]
                self._running[batch_id] = task
                task.add_done_callback(lambda _: self._look.set())

    async def _settle(self, batch: Batch) -> None:
        """What waits; with a deadline first what is out, before the workers hear of it: the first outcome counts."""
        status = batch.stopped
        if status is None:
            return
        if batch.cause == "deadline" and not batch.workers_told:
            leases = [x for x in self._yard.leases.values() if x.batch_id == batch.batch_id]
            for start in range(0, len(leases), _LEASES_AT_ONCE):
                await self._settle_leases(batch, status, leases[start : start + _LEASES_AT_ONCE])
            stopped = outgoing(topology.FLOW, self._stopped(batch), traceparent=batch.traceparent)
            await self._publisher.publish([stopped])
            batch.workers_told = True
        await self._settlement.settle_waiting(batch, status)

    async def _settle_leases(self, batch: Batch, status: Status, leases: Sequence[Lease]) -> None:
        found = await self._pages.items(leases)
        left = [(x, o, line) for x in leases for o, line in found[x.chunk_id].items() if o not in x.reported]
        items = [
            SettledItem(ordinal=ordinal, custom_id=orjson.loads(line).get("custom_id"), attempts=lease.attempt)
            for lease, ordinal, line in left
        ]
        await self._settlement.settle(batch, status, items)
        await self._settlement.let_go(batch, [(lease.partition, line) for lease, _, line in left])

    def _stopped(self, batch: Batch) -> BatchStopped:
        return BatchStopped(
            batch_id=batch.batch_id,
            owner=batch.owner,
            round=batch.round,
            cause="deadline",
            detail=f"Its deadline, {batch.terms.deadline}, has passed.",
            at=self._clock(),
        )

    async def _sleep(self) -> None:
        wait_s = _IDLE_S
        if self._yard.deadlines:
            wait_s = min(wait_s, (min(self._yard.deadlines.values()) - self._clock()).total_seconds())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._look.wait()
        except TimeoutError:
            return

"""Takes in batches, their pages, and the commands that steer them."""

from collections.abc import Sequence
from operator import itemgetter
from uuid import UUID

import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ItemsReopened,
)
from services.dispatcher.codecs.page import Page
from services.dispatcher.dispatching.dispatch_loop import Pump
from services.dispatcher.intake.dedup_claims import Claims
from services.dispatcher.intake.page_tracker import Arrivals, Segments
from services.dispatcher.intake.reopening import GONE, Reopening
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Store
from services.dispatcher.settlement.batch_stopper import Stops
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Batch, Yard
from shared.messaging.batch_consumer import Received

log = structlog.get_logger()


class Intake:
    """One method for each message. Tables first, memory afterwards."""

    def __init__(
        self, yard: Yard, store: Store, settlement: Settlement, pages: Pages, pump: Pump, stops: Stops
    ) -> None:
        self._yard, self._store, self._settlement, self._pages, self._pump = yard, store, settlement, pages, pump
        self._stops = stops
        self._claims = Claims(yard, store, settlement, pages)
        self._reopening = Reopening(yard, store, settlement)
        self._arrivals = Arrivals()

    async def load(self) -> None:
        """Rebuild what waits from the tables."""
        for manifest in await self._store.manifests():
            self._yard.know(manifest)
        for batch in await self._store.live_batches():
            await self._take_in(batch)

    async def pages(self, received: Sequence[Received]) -> None:
        """Keep pages; those of a batch whose header is known may go out at once, each once."""
        pages = [r.message for r in received if isinstance(r.message, Page)]
        saved = await self._store.save_pages(pages)
        batch_ids, claimed = {batch_id for batch_id, *_ in saved}, set[UUID]()
        while known := [b for x in batch_ids - claimed if (b := self._yard.batches.get(x))]:
            for batch in known:  # another one may join meanwhile
                claimed.add(batch.batch_id)
                await self._claims.claim(batch)
        for batch_id, partition, slice_, lines in saved:
            self._pages.keep((batch_id, slice_.page, slice_.segment), lines)
            if (here := self._yard.batches.get(batch_id)) is None:
                self._arrivals.early(batch_id, partition, slice_)
            elif here.stopped:
                self._stops.settle(here)
            elif (queue := self._yard.queue(here)) and self._arrivals.is_new(batch_id, slice_):
                queue.lane(partition).slices.append(slice_)
        self._yard.changed.set()

    async def accepted(self, message: BatchAccepted, envelope: Envelope) -> None:
        """A batch may run."""
        async with self._yard.intake:
            batch = await self._store.save_batch(message, envelope.traceparent)
            if batch is not None and batch.batch_id not in self._yard.batches:
                await self._take_in(batch, message.total)
        self._yard.changed.set()

    async def sealed(self, message: BatchSealed, _: Envelope) -> None:
        """Nothing to do: the ledger decides when a batch has ended."""

    async def withdrawn(self, message: BatchWithdrawn, _: Envelope) -> None:
        """Forget pages that must not run."""
        async with self._yard.intake:
            await self._store.withdraw(message.batch_id)
            self._leave(message.batch_id)  # afterwards: a page that was being saved is known by now

    async def controlled(self, message: BatchControlled, _: Envelope) -> None:
        """Pause, resume, cancel, or change a batch. What a batch is told before its header comes waits for it."""
        if message.action == "retry":
            return
        async with self._yard.intake:
            batch = self._yard.batches.get(message.batch_id)
            if batch is not None and message.round is not None and message.round < batch.round:
                return
            await self._store.steer(message)
            await self._steer(message.batch_id)

    async def stopped(self, message: BatchStopped, _: Envelope) -> None:
        """A service has stopped a round: what is left of it ends."""
        async with self._yard.intake:
            await self._store.stop(message.batch_id, message.round, message.cause)
            await self._steer(message.batch_id)

    async def _steer(self, batch_id: UUID) -> None:
        """What is kept takes effect on a batch that is here."""
        batch = self._yard.batches.get(batch_id)
        told = await self._store.live_batch(batch_id) if batch is not None else None
        if batch is None or told is None or told.round != batch.round:
            return
        batch.priority, batch.paused, batch.terms = told.priority, told.paused, told.terms
        batch.cancelled, batch.cause = told.cancelled, told.cause
        self._yard.steered(batch)
        if batch.stopped:
            self._stops.settle(batch)
        self._stops.look()
        self._pump.retry_in(0.0)

    async def finished(self, message: BatchFinished, _: Envelope) -> None:
        """The ledger says that a round is over."""
        await self._store.finish(message.batch_id, message.round)
        batch = self._yard.batches.get(message.batch_id)
        if batch is not None and batch.round <= message.round:
            self._leave(message.batch_id)

    async def reopened(self, message: ItemsReopened, envelope: Envelope) -> None:
        """Run items again, in a new round, from their first attempt. Those that are no longer kept fail."""
        batch = await self._store.reopen(message.batch_id, message.round, message.asked_at)
        if batch is None:
            if not await self._store.is_known(message.batch_id):
                log.warning("reopened batch is not kept any more", batch_id=str(message.batch_id), round=message.round)
                await self._reopening.fail(message, message.ordinals, GONE)
            return
        await self._reopening.run(batch, message)
        async with self._yard.intake:
            current = self._yard.batches.get(batch.batch_id)
            if current is None or current.round < batch.round:
                self._leave(batch.batch_id)
                await self._take_in(batch)
        self._pump.retry_in(0.0)

    async def _take_in(self, batch: Batch, total: int | None = None) -> None:
        """Read first, join afterwards: what fails in between may be done again. A batch of `total` items that have all
        just come has nothing to be read."""
        plain = not batch.stopped and not self._claims.wanted_by(batch)
        waiting = self._arrivals.whole(batch.batch_id, total) if plain else None
        if waiting is None:
            waiting = await self._waiting(batch)
        queue = self._yard.join(batch)
        self._arrivals.joined(batch.batch_id, waiting)
        for _, (partition, slice_) in sorted(waiting.items(), key=itemgetter(0)):
            queue.lane(partition).slices.append(slice_)
        if batch.stopped:
            self._stops.settle(batch)
        self._stops.look()

    async def _waiting(self, batch: Batch) -> Segments:
        """What the table has of a batch, and what comes into it meanwhile; keys are claimed for all of it."""
        while True:
            self._arrivals.expect(batch.batch_id)
            await self._claims.load(batch)
            if batch.stopped:
                return {}
            rows = await self._store.waiting(batch.batch_id)
            found = {(slice_.page, slice_.segment): (partition, slice_) for partition, slice_ in rows}
            early = self._arrivals.of(batch.batch_id)
            if early is not None and (early.keys() <= found.keys() or not self._claims.wanted_by(batch)):
                return {**early, **found}

    def _leave(self, batch_id: UUID) -> None:
        self._yard.leave(batch_id)
        self._arrivals.leave(batch_id)

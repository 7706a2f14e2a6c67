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
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.intake.dedup_claims import DedupClaims
from services.dispatcher.intake.page_tracker import PageTracker, WaitingSlices
from services.dispatcher.intake.reopening import ITEM_DELETED, ItemReopener
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.store import Store
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import Batch, DispatcherState
from shared.messaging.batch_consumer import DecodedMessage

log = structlog.get_logger()


class BatchIntake:
    """One method for each message. Tables first, memory afterwards."""

    def __init__(
        self,
        state: DispatcherState,
        store: Store,
        settler: ItemSettler,
        pages: PageCache,
        dispatch_loop: DispatchLoop,
        batch_stopper: BatchStopper,
    ) -> None:
        self._state, self._store, self._settler, self._pages, self._dispatch_loop = (
            state,
            store,
            settler,
            pages,
            dispatch_loop,
        )
        self._batch_stopper = batch_stopper
        self._claims = DedupClaims(state, store, settler, pages)
        self._reopening = ItemReopener(state, store, settler)
        self._page_tracker = PageTracker()

    async def load(self) -> None:
        """Rebuild what waits from the tables."""
        for manifest in await self._store.manifests():
            self._state.set_manifest(manifest)
        for batch in await self._store.live_batches():
            await self._join(batch)

    async def on_items_pages(self, received: Sequence[DecodedMessage]) -> None:
        """Keep pages; those of a batch whose header is known may go out at once, each once."""
        pages = [r.message for r in received if isinstance(r.message, Page)]
        saved = await self._store.save_pages(pages)
        batch_ids, claimed = {batch_id for batch_id, *_ in saved}, set[UUID]()
        while known := [b for x in batch_ids - claimed if (b := self._state.batches.get(x))]:
            for batch in known:  # another one may join meanwhile
                claimed.add(batch.batch_id)
                await self._claims.claim(batch)
        for batch_id, partition, slice_, lines in saved:
            self._pages.add((batch_id, slice_.page, slice_.segment), lines)
            if (here := self._state.batches.get(batch_id)) is None:
                self._page_tracker.add_early(batch_id, partition, slice_)
            elif here.stop_status:
                self._batch_stopper.schedule(here)
            elif (queue := self._state.batch_queue(here)) and self._page_tracker.add_segment(batch_id, slice_):
                queue.partition_queue(partition).slices.append(slice_)
        self._state.changed.set()

    async def on_batch_accepted(self, message: BatchAccepted, envelope: Envelope) -> None:
        """A batch may run."""
        async with self._state.control_lock:
            batch = await self._store.save_batch(message, envelope.traceparent)
            if batch is not None and batch.batch_id not in self._state.batches:
                await self._join(batch, message.total)
        self._state.changed.set()

    async def on_batch_sealed(self, message: BatchSealed, _: Envelope) -> None:
        """Nothing to do: the ledger decides when a batch has ended."""

    async def on_batch_withdrawn(self, message: BatchWithdrawn, _: Envelope) -> None:
        """Forget pages that must not run."""
        async with self._state.control_lock:
            await self._store.withdraw(message.batch_id)
            self._remove(message.batch_id)  # afterwards: a page that was being saved is known by now

    async def on_batch_controlled(self, message: BatchControlled, _: Envelope) -> None:
        """Pause, resume, cancel, or change a batch. What a batch is told before its header comes waits for it."""
        if message.action == "retry":
            return
        async with self._state.control_lock:
            batch = self._state.batches.get(message.batch_id)
            if batch is not None and message.round is not None and message.round < batch.round:
                return
            await self._store.save_control(message)
            await self._apply_control(message.batch_id)

    async def on_batch_stopped(self, message: BatchStopped, _: Envelope) -> None:
        """A service has stopped a round: what is left of it ends."""
        async with self._state.control_lock:
            await self._store.save_stop(message.batch_id, message.round, message.reason)
            await self._apply_control(message.batch_id)

    async def _apply_control(self, batch_id: UUID) -> None:
        """What is kept takes effect on a batch that is here."""
        batch = self._state.batches.get(batch_id)
        told = await self._store.live_batch(batch_id) if batch is not None else None
        if batch is None or told is None or told.round != batch.round:
            return
        batch.priority, batch.paused, batch.terms = told.priority, told.paused, told.terms
        batch.cancelled, batch.cause = told.cancelled, told.cause
        self._state.apply_control(batch)
        if batch.stop_status:
            self._batch_stopper.schedule(batch)
        self._batch_stopper.wake()
        self._dispatch_loop.retry_in(0.0)

    async def on_batch_finished(self, message: BatchFinished, _: Envelope) -> None:
        """The ledger says that a round is over."""
        await self._store.finish(message.batch_id, message.round)
        batch = self._state.batches.get(message.batch_id)
        if batch is not None and batch.round <= message.round:
            self._remove(message.batch_id)

    async def on_items_reopened(self, message: ItemsReopened, envelope: Envelope) -> None:
        """Run items again, in a new round, from their first attempt. Those that are no longer kept fail."""
        batch = await self._store.reopen(message.batch_id, message.round, message.requested_at)
        if batch is None:
            if not await self._store.is_known(message.batch_id):
                log.warning("reopened batch is not kept any more", batch_id=str(message.batch_id), round=message.round)
                await self._reopening.fail(message, message.ordinals, ITEM_DELETED)
            return
        await self._reopening.reopen(batch, message)
        async with self._state.control_lock:
            current = self._state.batches.get(batch.batch_id)
            if current is None or current.round < batch.round:
                self._remove(batch.batch_id)
                await self._join(batch)
        self._dispatch_loop.retry_in(0.0)

    async def _join(self, batch: Batch, total: int | None = None) -> None:
        """Read first, join afterwards: what fails in between may be done again. A batch of `total` items that have all
        just come has nothing to be read."""
        plain = not batch.stop_status and not self._claims.is_wanted_by(batch)
        waiting = self._page_tracker.complete_slices(batch.batch_id, total) if plain else None
        if waiting is None:
            waiting = await self._waiting(batch)
        queue = self._state.add_batch(batch)
        self._page_tracker.start_batch(batch.batch_id, waiting)
        for _, (partition, slice_) in sorted(waiting.items(), key=itemgetter(0)):
            queue.partition_queue(partition).slices.append(slice_)
        if batch.stop_status:
            self._batch_stopper.schedule(batch)
        self._batch_stopper.wake()

    async def _waiting(self, batch: Batch) -> WaitingSlices:
        """What the table has of a batch, and what comes into it meanwhile; keys are claimed for all of it."""
        while True:
            self._page_tracker.expect(batch.batch_id)
            await self._claims.load(batch)
            if batch.stop_status:
                return {}
            rows = await self._store.waiting_slices(batch.batch_id)
            found = {(slice_.page, slice_.segment): (partition, slice_) for partition, slice_ in rows}
            early = self._page_tracker.early_slices(batch.batch_id)
            if early is not None and (early.keys() <= found.keys() or not self._claims.is_wanted_by(batch)):
                return {**early, **found}

    def _remove(self, batch_id: UUID) -> None:
        self._state.remove_batch(batch_id)
        self._page_tracker.remove_batch(batch_id)

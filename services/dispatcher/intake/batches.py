"""Handles messages on batches: headers, pages, controls, stops and reopened items."""

from collections.abc import Callable, Sequence
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
from services.dispatcher.dispatching.dispatch_loop import DispatchLoop
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.page import Page, groups_of_pages
from services.dispatcher.domain.scheduling.early_pages import EarlyPages
from services.dispatcher.intake.arrivals import Arrivals
from services.dispatcher.intake.dedup_claims import DedupClaims
from services.dispatcher.intake.reopening import ITEM_DELETED, ItemReopener
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.page_store import SavedSegment
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.batch_consumer import DecodedMessage
from shared.observability.telemetry import span
from shared.runtime.errors import BatchyardError
from shared.runtime.transient import is_transient

log = structlog.get_logger()


class UnreadableBatch(BatchyardError):
    """The stored options of a batch cannot be read."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The stored {name} of the batch cannot be read.")


class BatchIntake:
    """Message handlers of the intake. Each changes the tables first and the memory afterwards."""

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        settler: ItemSettler,
        pages: PageCache,
        dispatch_loop: DispatchLoop,
        batch_stopper: BatchStopper,
        on_end: Callable[[BatchFinished], None],
    ) -> None:
        """`on_end` is told each round that has ended."""
        self._on_end = on_end
        self._state, self._stores, self._settler, self._pages, self._dispatch_loop = (
            state,
            stores,
            settler,
            pages,
            dispatch_loop,
        )
        self._batch_stopper = batch_stopper
        self._claims = DedupClaims(state, stores, settler, pages)
        self._reopening = ItemReopener(state, stores, settler)
        self._early_pages = EarlyPages()

    async def load(self) -> None:
        """Load manifests and unfinished batches from the tables. Their pages are read later, when they are needed."""
        for manifest in await self._stores.batches.manifests():
            self._state.set_manifest(manifest)
        for batch in await self._stores.batches.live_batches():
            try:
                await self._join(batch)
            except Exception as error:
                if is_transient(error):
                    raise
                self._state.add_batch(batch).pause()
                self._batch_stopper.stop_failed(batch.batch_id, error)

    async def on_items_pages(self, received: Sequence[DecodedMessage]) -> None:
        """Save pages. The items of a batch whose header is known are queued, each once, if they fit in memory.

        Pages of many partitions are saved in several steps, between which other messages are handled.
        """
        for pages in groups_of_pages([r.message for r in received if isinstance(r.message, Page)]):
            await self._save_pages(pages)

    async def _save_pages(self, pages: Sequence[Page]) -> None:
        arrivals = Arrivals(self._state, {page.batch_id for page in pages})
        saved = await self._stores.pages.save_pages(pages)
        batch_ids, claimed = {segment.batch_id for segment in saved}, set[UUID]()
        while claiming := [b for x in batch_ids - claimed if (b := self._state.batches.get(x)) and b.dedup]:
            for batch in claiming:  # another batch may be added meanwhile
                claimed.add(batch.batch_id)
                await self._claims.claim(batch)
        for segment in saved:
            self._cache_items(segment)
            batch_of_page = self._state.batches.get(segment.batch_id)
            if batch_of_page is not None:
                self._queue_segment(batch_of_page, segment, arrivals)
            elif segment.is_new:
                self._early_pages.add(segment.batch_id, segment.partition, segment.slice)
        self._state.changed.set()

    async def on_batches(self, received: Sequence[DecodedMessage]) -> None:
        """Save batches that arrive with their items, and forget rounds that have ended. Many of each take one
        statement."""
        if accepted := [(r.message, r.envelope.traceparent) for r in received if isinstance(r.message, AcceptedBatch)]:
            with span("accept batches", accepted[0][1], batches=len(accepted)):
                await self._accept_whole(accepted)
        await self._forget([r.message for r in received if isinstance(r.message, BatchFinished)])

    async def _accept_whole(self, accepted: Sequence[tuple[AcceptedBatch, str | None]]) -> None:
        by_batch = {whole.header.batch_id: (whole, traceparent) for whole, traceparent in accepted}
        places = {batch_id: place for place, batch_id in enumerate(by_batch)}
        async with self._state.control_lock:
            arrivals = Arrivals(self._state, by_batch)
            saved = await self._stores.batches.save_whole_batches(list(by_batch.values()))
            for batch, segments in sorted(saved, key=lambda one: places[one[0].batch_id]):
                for segment in segments:
                    self._cache_items(segment)
                known = self._state.batches.get(batch.batch_id)
                if known is None:
                    await self._join(batch, segments)
                    continue
                await self._claims.claim(known)
                for segment in segments:
                    self._queue_segment(known, segment, arrivals)
        self._state.changed.set()

    async def on_batch_accepted(self, message: BatchAccepted, envelope: Envelope) -> None:
        """Save the header of a batch and add the batch."""
        async with self._state.control_lock:
            batch = await self._stores.batches.save_batch(message, envelope.traceparent)
            if batch is not None and batch.batch_id not in self._state.batches:
                await self._join(batch, total=message.total)
        self._state.changed.set()

    async def on_batch_sealed(self, message: BatchSealed, _: Envelope) -> None:
        """Ignore the message: the aggregator decides when a batch has ended."""

    async def on_batch_withdrawn(self, message: BatchWithdrawn, _: Envelope) -> None:
        """Delete a batch that was withdrawn, with its pages."""
        async with self._state.control_lock:
            await self._stores.batches.withdraw(message.batch_id)
            self.forget(message.batch_id)  # last, so that a page that was being saved is known

    async def on_batch_controlled(self, message: BatchControlled, _: Envelope) -> None:
        """Pause, resume, cancel or change a batch. A control that arrives before the header of its batch is kept for
        it."""
        if message.action == "retry":
            return
        async with self._state.control_lock:
            batch = self._state.batches.get(message.batch_id)
            if batch is not None and message.round is not None and message.round < batch.round:
                return
            await self._stores.batches.save_control(message)
            await self._apply_control(message.batch_id)

    async def on_batch_stopped(self, message: BatchStopped, _: Envelope) -> None:
        """Stop a round that another service or the deadline has ended."""
        async with self._state.control_lock:
            await self._stores.batches.save_stop(message.batch_id, message.round, message.reason)
            await self._apply_control(message.batch_id)

    async def _apply_control(self, batch_id: UUID) -> None:
        """Apply the saved controls to a batch in memory, if it is there."""
        batch = self._state.batches.get(batch_id)
        saved = await self._stores.batches.live_batch(batch_id) if batch is not None else None
        if batch is None or saved is None or saved.round != batch.round:
            return
        batch.priority, batch.paused, batch.terms = saved.priority, saved.paused, saved.terms
        batch.unreadable = saved.unreadable
        batch.cancelled, batch.stop_reason = saved.cancelled, saved.stop_reason
        self._state.apply_control(batch)
        if batch.stop_status:
            self._batch_stopper.schedule(batch)
        elif batch.unreadable:
            self._batch_stopper.stop_failed(batch.batch_id, UnreadableBatch(batch.unreadable))
        self._batch_stopper.wake()
        self._dispatch_loop.retry_in(0.0)

    async def on_batch_finished(self, message: BatchFinished, _: Envelope) -> None:
        """Forget a round that the aggregator has ended."""
        await self._forget([message])

    async def _forget(self, finished: Sequence[BatchFinished]) -> None:
        rounds: dict[UUID, int] = {}
        for message in finished:
            self._on_end(message)
            rounds[message.batch_id] = max(message.round, rounds.get(message.batch_id, 0))
        if rounds:
            await self._stores.batches.finish(rounds)
        for batch_id, round_ in rounds.items():
            batch = self._state.batches.get(batch_id)
            if batch is not None and batch.round <= round_:
                self.forget(batch_id)

    async def on_items_reopened(self, message: ItemsReopened, envelope: Envelope) -> None:
        """Run items again in a new round, from their first attempt. Items that are no longer stored fail."""
        batch = await self._stores.batches.reopen(message.batch_id, message.round, message.requested_at)
        if batch is None:
            if not await self._stores.batches.is_known(message.batch_id):
                log.warning("reopened batch is no longer stored", batch_id=str(message.batch_id), round=message.round)
                await self._reopening.fail(message, message.ordinals, ITEM_DELETED)
            return
        await self._reopening.reopen(batch, message)
        async with self._state.control_lock:
            current = self._state.batches.get(batch.batch_id)
            if current is None or current.round < batch.round:
                self.forget(batch.batch_id)
                await self._join(batch)
        self._dispatch_loop.retry_in(0.0)

    async def _join(
        self, batch: Batch, segments: Sequence[SavedSegment] | None = None, *, total: int | None = None
    ) -> None:
        """Add a batch, after its keys are claimed. Its pages are read from the table when they are needed, unless all
        of them are known to be new and fit in memory: those that came with its header (`segments`), or those that came
        before it, if they have `total` items."""
        await self._claims.load(batch)
        early = self._early_pages.take(batch.batch_id, total)
        if segments:
            early = [(s.partition, s.slice) for s in segments] if all(s.is_new for s in segments) else None
        queue = self._state.add_batch(batch)
        if batch.stop_status:
            self._batch_stopper.schedule(batch)
        elif early is None or batch.dedup or len(early) > self._state.max_slices:
            queue.mark_backlog()
        else:
            for partition, slice_ in sorted(early, key=lambda found: (found[1].page, found[1].segment)):
                queue.partition_queue(partition).slices.append(slice_)
        if batch.unreadable and not batch.stop_status:
            self._batch_stopper.stop_failed(batch.batch_id, UnreadableBatch(batch.unreadable))
        self._batch_stopper.wake()

    def _cache_items(self, segment: SavedSegment) -> None:
        if segment.is_new:
            place = segment.slice
            self._pages.add((segment.batch_id, place.page, place.segment), segment.lines)

    def _queue_segment(self, batch: Batch, segment: SavedSegment, arrivals: Arrivals) -> None:
        if batch.stop_status:
            self._batch_stopper.schedule(batch)
        elif queue := self._state.batch_queue(batch):
            arrivals.add(queue, segment)

    def forget(self, batch_id: UUID) -> None:
        """Remove a batch from memory."""
        self._state.remove_batch(batch_id)
        self._early_pages.take(batch_id, None)

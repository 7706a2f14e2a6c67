"""Dedup claims: keep an item from running if another batch of the same owner has it too and the batch asks for this.

Mode `reject`: the earlier item keeps its key and the later one is dropped. Mode `replace`: the later item takes over
the key, and the earlier one is dropped unless it is in flight. A claim holds while its batch runs, and at most for its
time to live.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import SettledItem
from services.dispatcher.domain.batch import Batch
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.page_store import Claim, DroppedItem
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import DispatcherState
from shared.messaging.fast_readers import RawKeyedItem

_ITEMS_PER_READ = 5000
"""A batch may have dropped a million items."""
_decoder = msgspec.json.Decoder(RawKeyedItem)


class DedupClaims:
    """Claims keys for the items of batches. Dropped items are saved before their outcomes are published, which is
    repeated after a crash."""

    def __init__(self, state: DispatcherState, stores: Stores, settler: ItemSettler, pages: PageCache) -> None:
        self._state, self._stores, self._settler, self._pages = state, stores, settler, pages

    async def load(self, batch: Batch) -> None:
        """Load the dropped items of a batch that is about to be added, and claim the keys of the others."""
        if batch.dedup:
            after = -1
            while items := await self._stores.pages.dropped_items(batch.batch_id, after, _ITEMS_PER_READ):
                after = items[-1].ordinal
                await self._drop(batch, items)
            await self.claim(batch)

    async def claim(self, batch: Batch) -> None:
        """Claim the keys of the pages of a batch that have not been claimed yet."""
        dedup = batch.dedup
        while dedup and (pages := await self._stores.pages.unclaimed_segments(batch.batch_id)):
            found = {
                line.key: line
                for _, _, lines in pages
                for line in map(_decoder.decode, filter(None, lines))
                if line.key
            }
            claims = [Claim(bytes.fromhex(key), line.ordinal, line.custom_id) for key, line in found.items()]
            segments = [(page, segment) for page, segment, _ in pages]
            by_batch: dict[UUID, list[DroppedItem]] = {}
            for dropped in await self._stores.pages.claim(batch, dedup, claims, segments):
                by_batch.setdefault(dropped.batch_id, []).append(dropped)
            for batch_id, items in by_batch.items():
                if dropping := batch if batch_id == batch.batch_id else self._state.batches.get(batch_id):
                    await self._drop(dropping, items)

    async def _drop(self, batch: Batch, items: Sequence[DroppedItem]) -> None:
        """Settle dropped items as duplicates; those in flight are restored and run to their end."""
        in_flight: set[int] = set()
        if any(item.ordinal not in batch.dropped for item in items):
            for lease in [x for x in self._state.leases.values() if x.is_of(batch)]:
                in_flight.update(set(await self._pages.ordinals(lease)) - lease.reported)
        running = [item.ordinal for item in items if item.ordinal in in_flight]
        if running:
            await self._stores.pages.restore_dropped(batch.batch_id, running)
        dropped = [item for item in items if item.ordinal not in in_flight]
        batch.dropped.update(item.ordinal for item in dropped)
        settled = [
            SettledItem(
                ordinal=i.ordinal, custom_id=i.custom_id, duplicate_of=i.by_ordinal, duplicate_of_batch=i.by_batch
            )
            for i in dropped
        ]
        await self._settler.settle(batch, "duplicate", settled)
        await self._stores.retries.drop_waiting_retries(batch.batch_id, batch.round, [item.ordinal for item in dropped])

"""Keeps items from running that another batch of their owner has, too, as far as a batch asks for that.

`reject`: the earlier item keeps its key, and the later one is dropped. `replace`: the later one takes the key over, and
the earlier one is dropped unless it is out at a worker. A claim holds while its batch runs, for its time at most.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import SettledItem
from batchyard_contracts.v1.values import Dedup
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.store import Claim, DroppedItem, Store
from services.dispatcher.settlement.settler import ItemSettler
from services.dispatcher.state.state import Batch, DispatcherState


class _KeyedItem(msgspec.Struct):
    ordinal: int
    key: str | None = None
    custom_id: str | None = None


_decoder = msgspec.json.Decoder(_KeyedItem)


class DedupClaims:
    """What is dropped is on record before the ledger hears of it, and told again after a crash."""

    def __init__(self, state: DispatcherState, store: Store, settler: ItemSettler, pages: PageCache) -> None:
        self._state, self._store, self._settler, self._pages = state, store, settler, pages

    def is_wanted_by(self, batch: Batch) -> bool:
        """Whether the items of a batch are to claim their keys before they run."""
        return _mode(batch) is not None

    async def load(self, batch: Batch) -> None:
        """Learn what is dropped of a batch that is about to join, and claim for what is kept of it."""
        if _mode(batch):
            await self._drop(batch, await self._store.dropped_items(batch.batch_id))
            await self.claim(batch)

    async def claim(self, batch: Batch) -> None:
        """Claim for pages of a batch for which it was not done yet."""
        dedup = _mode(batch)
        while dedup and (pages := await self._store.unclaimed_segments(batch.batch_id)):
            found = {line.key: line for _, _, lines in pages for line in map(_decoder.decode, lines) if line.key}
            claims = [Claim(bytes.fromhex(key), line.ordinal, line.custom_id) for key, line in found.items()]
            segments = [(page, segment) for page, segment, _ in pages]
            by_batch: dict[UUID, list[DroppedItem]] = {}
            for dropped in await self._store.claim(batch, dedup, claims, segments):
                by_batch.setdefault(dropped.batch_id, []).append(dropped)
            for batch_id, items in by_batch.items():
                if loser := batch if batch_id == batch.batch_id else self._state.batches.get(batch_id):
                    await self._drop(loser, items)

    async def _drop(self, batch: Batch, items: Sequence[DroppedItem]) -> None:
        """What is out already runs to its end."""
        in_flight: set[int] = set()
        if any(item.ordinal not in batch.dropped for item in items):
            for lease in [x for x in self._state.leases.values() if x.batch_id == batch.batch_id]:
                in_flight.update(set(await self._pages.ordinals(lease)) - lease.reported)
        running = [item.ordinal for item in items if item.ordinal in in_flight]
        if running:
            await self._store.restore_dropped(batch.batch_id, running)
        dropped = [item for item in items if item.ordinal not in in_flight]
        batch.dropped.update(item.ordinal for item in dropped)
        settled = [
            SettledItem(
                ordinal=i.ordinal, custom_id=i.custom_id, duplicate_of=i.by_ordinal, duplicate_of_batch=i.by_batch
            )
            for i in dropped
        ]
        await self._settler.settle(batch, "duplicate", settled)
        await self._store.drop_waiting_retries(batch.batch_id, [item.ordinal for item in dropped])


def _mode(batch: Batch) -> Dedup | None:
    dedup = batch.reuse.dedup if batch.reuse else None
    return dedup if dedup and dedup.mode in {"reject", "replace"} else None

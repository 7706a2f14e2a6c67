"""Keeps items from running that another batch of their owner has, too, as far as a batch asks for that.

`reject`: the earlier item keeps its key, and the later one is dropped. `replace`: the later one takes the key over, and
the earlier one is dropped unless it is out at a worker. A claim holds while its batch runs, for its time at most.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import SettledItem
from batchyard_contracts.v1.values import Dedup
from services.dispatcher.persistence.page_cache import Pages
from services.dispatcher.persistence.store import Claim, Dropped, Store
from services.dispatcher.settlement.settler import Settlement
from services.dispatcher.state.state import Batch, Yard


class _Line(msgspec.Struct):
    ordinal: int
    key: str | None = None
    custom_id: str | None = None


_decoder = msgspec.json.Decoder(_Line)


class Claims:
    """What is dropped is on record before the ledger hears of it, and told again after a crash."""

    def __init__(self, yard: Yard, store: Store, settlement: Settlement, pages: Pages) -> None:
        self._yard, self._store, self._settlement, self._pages = yard, store, settlement, pages

    def wanted_by(self, batch: Batch) -> bool:
        """Whether the items of a batch are to claim their keys before they run."""
        return _mode(batch) is not None

    async def load(self, batch: Batch) -> None:
        """Learn what is dropped of a batch that is about to join, and claim for what is kept of it."""
        if _mode(batch):
            await self._drop(batch, await self._store.dropped(batch.batch_id))
            await self.claim(batch)

    async def claim(self, batch: Batch) -> None:
        """Claim for pages of a batch for which it was not done yet."""
        dedup = _mode(batch)
        while dedup and (pages := await self._store.unclaimed(batch.batch_id)):
            found = {line.key: line for _, _, lines in pages for line in map(_decoder.decode, lines) if line.key}
            wanted = [Claim(bytes.fromhex(key), line.ordinal, line.custom_id) for key, line in found.items()]
            places = [(page, segment) for page, segment, _ in pages]
            by_batch: dict[UUID, list[Dropped]] = {}
            for dropped in await self._store.claim(batch, dedup, wanted, places):
                by_batch.setdefault(dropped.batch_id, []).append(dropped)
            for batch_id, items in by_batch.items():
                if loser := batch if batch_id == batch.batch_id else self._yard.batches.get(batch_id):
                    await self._drop(loser, items)

    async def _drop(self, batch: Batch, items: Sequence[Dropped]) -> None:
        """What is out already runs to its end."""
        out: set[int] = set()
        if any(item.ordinal not in batch.dropped for item in items):
            for lease in [x for x in self._yard.leases.values() if x.batch_id == batch.batch_id]:
                out.update(set(await self._pages.ordinals(lease)) - lease.reported)
        spared = [item.ordinal for item in items if item.ordinal in out]
        if spared:
            await self._store.undrop(batch.batch_id, spared)
        gone = [item for item in items if item.ordinal not in out]
        batch.dropped.update(item.ordinal for item in gone)
        settled = [
            SettledItem(
                ordinal=i.ordinal, custom_id=i.custom_id, duplicate_of=i.by_ordinal, duplicate_of_batch=i.by_batch
            )
            for i in gone
        ]
        await self._settlement.settle(batch, "duplicate", settled)
        await self._store.drop_waiting_retries(batch.batch_id, [item.ordinal for item in gone])


def _mode(batch: Batch) -> Dedup | None:
    dedup = batch.reuse.dedup if batch.reuse else None
    return dedup if dedup and dedup.mode in {"reject", "replace"} else None

"""An in-memory cache of the page segments in use, read from PostgreSQL once."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from batchyard_contracts.v1.flow import SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import ordinal_of, settled_item
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.partition_queue import PageRange
from services.dispatcher.persistence.statements import PageKey
from services.dispatcher.persistence.stores import Stores

_MAX_ITEMS = 64_000
"""Items of the segments in memory; the segment that was used last stays whatever its size."""
_MAX_SEGMENTS = 4096


class PageCache:
    """The items of recently used page segments."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._cache: OrderedDict[PageKey, list[bytes]] = OrderedDict()
        self._item_count = 0

    def add(self, key: PageKey, items: list[bytes]) -> None:
        """Add a segment that was just saved or read; the least recently used ones are removed."""
        self._item_count += len(items) - len(self._cache.pop(key, ()))
        self._cache[key] = items
        while (self._item_count > _MAX_ITEMS or len(self._cache) > _MAX_SEGMENTS) and len(self._cache) > 1:
            _, removed = self._cache.popitem(last=False)
            self._item_count -= len(removed)

    async def ordinals(self, lease: Lease) -> Sequence[int]:
        """Return the ordinals of a lease, also those of items that are no longer stored."""
        if not isinstance(lease.source, PageRange):
            return lease.source.ordinals
        if lease.ordinals is None:
            await self.items([lease])
        return lease.ordinals or ()

    async def items(self, leases: Iterable[Lease]) -> dict[UUID, dict[int, bytes]]:
        """Return the lines of each lease's items by ordinal, in order; items no longer stored are left out."""
        leases = list(leases)
        wanted = {_key(x, x.source): None for x in leases if isinstance(x.source, PageRange)}
        cached = {key: self._cache[key] for key in wanted if key in self._cache}
        if missing := [key for key in wanted if key not in cached]:
            cached |= await self._stores.pages.page_items(missing)
        for key, lines in cached.items():
            self.add(key, lines)
        again = [(x.batch_id, o) for x in leases if not isinstance(x.source, PageRange) for o in x.source.ordinals]
        rows = await self._stores.retries.retry_items(again) if again else {}
        found: dict[UUID, dict[int, bytes]] = {}
        for lease in leases:
            if isinstance(lease.source, PageRange):
                first = lease.source.first
                lines = cached.get(_key(lease, lease.source), [])[first : first + lease.source.count]
                found[lease.chunk_id] = {ordinal_of(line): line for line in lines}
                lease.keep_ordinals(found[lease.chunk_id])
            else:
                keys = [(lease.batch_id, ordinal) for ordinal in lease.source.ordinals]
                found[lease.chunk_id] = {key[1]: rows[key][1] for key in keys if key in rows}
        return found

    async def settled_items(
        self, lease: Lease, ordinals: Collection[int], error: ItemError | None
    ) -> list[SettledItem]:
        """Return the stored items of a lease among `ordinals` as items that end without a further run."""
        lines = (await self.items([lease]))[lease.chunk_id]
        return [
            settled_item(line, lease.partition, lease.attempt, error)
            for ordinal, line in lines.items()
            if ordinal in ordinals
        ]


def _key(lease: Lease, source: PageRange) -> PageKey:
    return (lease.batch_id, source.page, source.segment)

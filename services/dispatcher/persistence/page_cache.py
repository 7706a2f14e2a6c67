"""An in-memory cache of the page segments in use, read from PostgreSQL once."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from batchyard_contracts.v1.flow import SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import UnreadableItems, ordinal_of, settled_item
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.partition_queue import PageRange
from services.dispatcher.persistence.statements import PageKey
from services.dispatcher.persistence.stores import Stores

MAX_BYTES = 32 * 1024 * 1024
"""Memory of the segments, in bytes; the segment that was used last stays whatever its size."""
_LINE_BYTES, _SEGMENT_BYTES = 48, 512
"""Memory of a line beside its text, and of a segment beside its lines."""


class PageCache:
    """The items of recently used page segments."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._cache: OrderedDict[PageKey, tuple[list[bytes], int]] = OrderedDict()
        """Lines of each segment, with their memory."""
        self._bytes = 0

    def add(self, key: PageKey, items: list[bytes]) -> None:
        """Add a segment that was just saved or read; the least recently used ones are removed."""
        if (known := self._cache.get(key)) is not None and known[0] is items:
            self._cache.move_to_end(key)
            return
        size = sum(map(len, items)) + _LINE_BYTES * len(items) + _SEGMENT_BYTES
        self._bytes += size - self._cache.pop(key, ([], 0))[1]
        self._cache[key] = (items, size)
        while self._bytes > MAX_BYTES and len(self._cache) > 1:
            _, (_, freed) = self._cache.popitem(last=False)
            self._bytes -= freed

    async def ordinals(self, lease: Lease) -> Sequence[int]:
        """Return the ordinals of a lease, also those of items that are no longer stored."""
        if not isinstance(lease.source, PageRange):
            return lease.source.ordinals
        if lease.ordinals is None:
            await self.items([lease])
        return lease.ordinals or ()

    async def items(self, leases: Iterable[Lease], *, all_known: bool = False) -> dict[UUID, dict[int, bytes]]:
        """Return the lines of each lease's items by ordinal, in order; items no longer stored are left out.

        Those of which not even the ordinal can be read are left out too, or with `all_known` raise `UnreadableItems`.
        """
        leases = list(leases)
        wanted = {_key(x, x.source): None for x in leases if isinstance(x.source, PageRange)}
        cached = {key: self._cache[key][0] for key in wanted if key in self._cache}
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
                if all_known and b"" in lines:
                    raise UnreadableItems
                found[lease.chunk_id] = {ordinal_of(line): line for line in lines if line}
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

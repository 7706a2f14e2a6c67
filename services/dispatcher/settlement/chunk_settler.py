"""Ends items of chunks in flight without a further run."""

from collections.abc import Collection

from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.lease import Lease
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.settler import ItemSettler, SettledStatus
from services.dispatcher.state.state import DispatcherState


class ChunkSettler:
    """Publishes the outcomes first, then saves, then changes the memory. Nothing is published of a round that is
    over."""

    def __init__(self, state: DispatcherState, stores: Stores, settler: ItemSettler, pages: PageCache) -> None:
        self._state, self._stores, self._settler, self._pages = state, stores, settler, pages

    async def end(self, lease: Lease, status: SettledStatus, error: ItemError | None = None) -> None:
        """End the remaining items of a chunk, and its lease."""
        remaining = [ordinal for ordinal in await self._pages.ordinals(lease) if ordinal not in lease.reported]
        settled = await self._settle(lease, remaining, status, error)
        await self._stores.leases.end_items(lease, settled)
        self._state.release_lease(lease)

    async def fail_items(self, lease: Lease, ordinals: Collection[int], error: ItemError) -> list[int]:
        """Fail items of a chunk that goes on without them; returns the ordinals of those that are still stored."""
        failed = await self._settle(lease, ordinals, "failed", error)
        await self._stores.leases.fail_items(lease, failed)
        self._state.leases.record_reported(lease, ordinals)
        return failed

    async def _settle(
        self, lease: Lease, ordinals: Collection[int], status: SettledStatus, error: ItemError | None
    ) -> list[int]:
        items = await self._pages.settled_items(lease, ordinals, error)
        if batch := self._state.batch_of(lease):
            await self._settler.settle(batch, status, items)
        return [item.ordinal for item in items]

"""Forgets known results when it is told to."""

from collections.abc import Sequence

from batchyard_contracts.v1.flow import CacheInvalidated
from services.worker.caching.result_cache import ResultCache
from shared.messaging.batch_consumer import DecodedMessage


class CacheInvalidation:
    """Any worker may do it, and one of them does: Redis is the same for all."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    async def on_cache_invalidated(self, received: Sequence[DecodedMessage]) -> None:
        """Do it, or have it tried again: an order is not lost while Redis is away."""
        for command in (r.message for r in received if isinstance(r.message, CacheInvalidated)):
            if not await self._cache.invalidate(command):
                raise ConnectionError("Redis is away.")

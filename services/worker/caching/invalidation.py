"""Invalidates cached results on `cache.invalidated.v1`."""

from collections.abc import Sequence

from batchyard_contracts.v1.flow import CacheInvalidated
from services.worker.caching.result_cache import ResultCache
from shared.messaging.batch_consumer import DecodedMessage


class CacheInvalidation:
    """Handler of cache invalidations; one worker handles each, since all share one Redis."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    async def on_cache_invalidated(self, received: Sequence[DecodedMessage]) -> None:
        """Invalidate the named results. Raises `ConnectionError` without Redis: the messages are delivered again."""
        for command in (r.message for r in received if isinstance(r.message, CacheInvalidated)):
            if not await self._cache.invalidate(command):
                raise ConnectionError("Redis is away.")

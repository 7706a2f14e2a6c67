"""Deletes the results in Redis that batches of an owner share, before they expire."""

from collections.abc import Iterable
from typing import cast

from shared.redis.client import RedisClient
from shared.redis.keys import shared_results_index

_MOST_KEYS = 1000


class SharedResults:
    """Results that batches of one owner share, as workers store them."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def delete(self, owner: str, workloads: Iterable[str]) -> int | None:
        """Delete the results of an owner for these workloads; return their number, None if Redis is away."""
        deleted = 0
        for workload in workloads:
            index = shared_results_index(owner, workload)
            while (keys := await self._redis.attempt(self._first(index), None)) is None or keys:
                found = None if keys is None else await self._redis.attempt(self._delete(index, keys), None)
                if found is None:
                    return None
                deleted += found
        return deleted

    async def _first(self, index: str) -> list[bytes]:
        return cast("list[bytes]", await self._redis.client.zrange(index, 0, _MOST_KEYS - 1))

    async def _delete(self, index: str, keys: list[bytes]) -> int:
        """Delete results, and then their entries in the index: an interruption leaves none without an entry."""
        deleted: int = await self._redis.client.unlink(*keys)
        await self._redis.client.zrem(index, *keys)
        return deleted

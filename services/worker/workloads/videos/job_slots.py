"""Coordination of the items of all workers, in Redis: how many have a job, and whose a job is.

A slot that nobody renews is free after a while. While Redis is away there is no bound, and of two items that ask for
the same thing one may take the other's job for its own.
"""

from collections.abc import Sequence
from typing import Any, cast

from shared.redis.client import RedisClient
from shared.redis.keys import OF_WORKLOADS

_KEY = f"{OF_WORKLOADS}videos:places"
_TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_CLAIM = """
local owner = redis.call('GET', KEYS[1])
if owner == false then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
  return 1
end
return owner == ARGV[1] and 1 or 0
"""
_JOB = OF_WORKLOADS + "{videos}:job:"
"""Start of the keys of jobs. In braces: they share a slot of a Redis cluster."""
_JOB_S = 2 * 24 * 3600
_NO_BOUND = 1_000_000_000


class JobSlots:
    """Slots for jobs, and owners of jobs, of one deployment."""

    def __init__(self, memory: RedisClient, most: int, lasts_s: float) -> None:
        self._memory, self._most, self._lasts_s = memory, most, max(1, round(lasts_s))
        self._take = memory.client.register_script(_TAKE)
        self._claim = memory.client.register_script(_CLAIM)

    async def take(self, item: str) -> bool:
        """Take a slot, or keep the one that the item has; False if there is none."""
        return await self._ask(item, self._most)

    async def keep(self, item: str) -> None:
        """Record the slot of an item that has a job, even beyond the bound."""
        await self._ask(item, _NO_BOUND)

    async def free(self, item: str) -> None:
        """Release the slot of an item."""
        await self._memory.attempt(cast("Any", self._memory.client.zrem(_KEY, item)), 0)

    async def claim(self, job_id: str, item: str) -> bool:
        """Record the item of a job; False if it belongs to another one."""
        claiming = self._claim(keys=[_JOB + job_id], args=[item, _JOB_S])
        return bool(await self._memory.attempt(claiming, 1))

    async def unclaimed(self, job_ids: Sequence[str], item: str) -> list[str]:
        """Return the jobs that are not recorded for another item."""
        if not job_ids:
            return []
        asking = cast("Any", self._memory.client.mget([_JOB + job_id for job_id in job_ids]))
        owners: list[bytes | None] = await self._memory.attempt(asking, [None] * len(job_ids))
        own = item.encode()
        return [job_id for job_id, owner in zip(job_ids, owners, strict=True) if owner in {None, own}]

    async def _ask(self, item: str, most: int) -> bool:
        return bool(await self._memory.attempt(self._take(keys=[_KEY], args=[item, most, self._lasts_s]), 1))

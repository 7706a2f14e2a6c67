"""Counts in Redis, over all workers, how much each batch spends, and refuses what would exceed the limit of a batch.

If Redis loses its data, a batch may spend its limit once more.
"""

from typing import Literal
from uuid import UUID

from shared.redis.client import RedisClient
from shared.redis.keys import OF_WORKLOADS

Reservation = Literal["reserved", "exceeded", "unknown"]
_LASTS_S = 30 * 24 * 3600
_RESERVE = """
local total = tonumber(redis.call('HGET', KEYS[1], 'total') or '0')
local before = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local after = total - before + tonumber(ARGV[2])
if after > tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'total', string.format('%.9f', after))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
_NO_LIMIT = 1e300
_UNKNOWN = -1


class SpendingLimit:
    """Limit of what each batch of one workload may spend, in the unit of its prices."""

    def __init__(self, memory: RedisClient, workload: str, most: float) -> None:
        self.most = most
        self._memory, self._workload = memory, workload
        self._reserve = memory.client.register_script(_RESERVE)

    async def reserve(self, batch_id: UUID, call: str, amount: float) -> Reservation:
        """Reserve the cost of a call before it is made. `call` names it; repeated reservations count once."""
        answer = await self._run(batch_id, call, amount, self.most)
        return "unknown" if answer == _UNKNOWN else "reserved" if answer else "exceeded"

    async def settle(self, batch_id: UUID, call: str, amount: float) -> None:
        """Replace what was reserved for a call by its cost."""
        await self._run(batch_id, call, amount, _NO_LIMIT)

    async def _run(self, batch_id: UUID, call: str, amount: float, most: float) -> int:
        key = f"{OF_WORKLOADS}spending:{self._workload}:{batch_id}"
        running = self._reserve(keys=[key], args=[f"call:{call}", f"{amount:.9f}", repr(most), _LASTS_S])
        return int(await self._memory.attempt(running, _UNKNOWN))

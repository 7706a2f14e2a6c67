"""Enforces the pace of partitions: a token bucket in Redis, and a cautious one in memory while Redis is away.

The generic cell rate algorithm (ATM Forum TM 4.0, 4.4.2): one number a bucket, the time at which it will be full.
"""

import time

from batchyard_contracts.v1.values import Rate
from shared.redis import Memory

_TAKE = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local free = math.floor(burst - (full_at - now) / interval + 1e-9)
local granted = math.max(0, math.min(wanted, free))
if granted > 0 then
  full_at = full_at + granted * interval
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000) + 1000)
end
return {granted, tostring(math.max(0, full_at - now - (burst - 1) * interval))}
"""


class Limiter:
    """Grants items of a partition, and says how long to wait for the next."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._script = memory.client.register_script(_TAKE)
        self._local: dict[str, float] = {}

    async def take(self, workload: str, partition: str, rate: Rate, wanted: int) -> tuple[int, float]:
        """How many of the wanted items may go now, and in how many seconds the next one may."""
        key = f"pace:{workload}:{partition}"
        interval = 1.0 / rate.per_second
        call = self._script(keys=[key], args=[interval, rate.burst, wanted])
        answer = await self._memory.attempt(call, None)
        if answer is None:
            return self._take_locally(key, interval, rate.burst, wanted)
        granted, wait = int(answer[0]), float(answer[1])
        self._local[key] = time.monotonic() + wait + (rate.burst - 1) * interval
        return granted, wait

    def _take_locally(self, key: str, interval: float, burst: int, wanted: int) -> tuple[int, float]:
        now = time.monotonic()
        full_at = max(self._local.get(key, now + (burst - 1) * interval), now)
        granted = max(0, min(wanted, int(burst - (full_at - now) / interval + 1e-9)))
        full_at += granted * interval
        self._local[key] = full_at
        return granted, max(0.0, full_at - now - (burst - 1) * interval)

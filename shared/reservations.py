"""Start times under rates that many processes keep together, agreed through Redis by the generic cell rate algorithm.

One hash a rate: `t`, the time at which its bucket is full; `i` and `b`, interval and burst in force; `v`, their
version; `p`, until when it is parked. All of it may vanish.
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, cast

from shared.redis import Memory

AHEAD_S = 0.1
"""Nobody holds start times further ahead than this, so that a changed rate holds at once."""
PATIENCE_S = 5.0
"""A start further away than this is not given: the caller should ask again later."""
_KEPT_S = 3600
_RESERVE = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local wanted, ahead, patience, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local rates, first = {}, now
for n, key in ipairs(KEYS) do
  local i, b, v = tonumber(ARGV[3 * n + 2]), tonumber(ARGV[3 * n + 3]), tonumber(ARGV[3 * n + 4])
  local known = redis.call('HMGET', key, 't', 'i', 'b', 'v', 'p')
  local full_at = math.max(tonumber(known[1] or now), now)
  if known[4] and tonumber(known[4]) > v then
    i, b = tonumber(known[2]), tonumber(known[3])
  elseif not known[4] or tonumber(known[4]) < v then
    if known[2] and i < tonumber(known[2]) then full_at = math.min(full_at, now + b * i) end
    redis.call('HSET', key, 'i', ARGV[3 * n + 2], 'b', b, 'v', ARGV[3 * n + 4])
  end
  rates[n] = {key, i, b, full_at}
  first = math.max(first, tonumber(known[5] or 0))
end
local starts = {}
for _ = 1, wanted do
  local start = first
  for _, rate in ipairs(rates) do start = math.max(start, rate[4] - (rate[3] - 1) * rate[2]) end
  if #starts > 0 and start - now > ahead then break end
  if start - now > patience then return {-math.ceil((start - now) * 1e6)} end
  for _, rate in ipairs(rates) do rate[4] = math.max(rate[4], start) + rate[2] end
  starts[#starts + 1] = math.ceil((start - now) * 1e6)
end
for _, rate in ipairs(rates) do
  redis.call('HSET', rate[1], 't', string.format('%.6f', rate[4]))
  redis.call('EXPIRE', rate[1], kept + math.ceil(math.max(0, rate[4] - now)))
end
return starts
"""
_PARK = """
local now = redis.call('TIME')
local till = tonumber(now[1]) + tonumber(now[2]) / 1e6 + tonumber(ARGV[1])
if ARGV[2] == '1' or till > tonumber(redis.call('HGET', KEYS[1], 'p') or 0) then
  redis.call('HSET', KEYS[1], 'p', string.format('%.6f', till))
  redis.call('EXPIRE', KEYS[1], tonumber(ARGV[3]) + math.ceil(math.max(0, tonumber(ARGV[1]))))
end
"""


class Rate(NamedTuple):
    """A rate under its key. Of two versions the higher one counts, whoever brings it."""

    key: str
    interval_s: float
    burst: int
    version: int


class Reservations:
    """Hands out start times."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._reserve = memory.client.register_script(_RESERVE)
        self._park = memory.client.register_script(_PARK)

    async def starts(self, rates: Sequence[Rate], wanted: int) -> list[float] | None:
        """Seconds from now at which up to `wanted` calls may start, at least one unless none is wanted.

        One number below zero: none for so many seconds. None: Redis does not answer.
        """
        args: list[float] = [wanted, AHEAD_S, PATIENCE_S, _KEPT_S]
        for rate in rates:
            args += (rate.interval_s, rate.burst, rate.version)
        call = cast("Awaitable[list[int] | None]", self._reserve(keys=[rate.key for rate in rates], args=args))
        answer = await self._memory.attempt(call, None)
        return None if answer is None else [micros / 1e6 for micros in answer]

    async def park(self, key: str, seconds: float, *, at_most: bool = False) -> None:
        """Let nothing start under a key for so long; `at_most`: even if it was to wait for longer."""
        call = cast("Awaitable[None]", self._park(keys=[key], args=[seconds, "1" if at_most else "0", _KEPT_S]))
        await self._memory.attempt(call, None)


def key_of(workload: str, key: str) -> str:
    """The name of a rate in Redis. Those of one workload share a slot of a cluster."""
    return f"pace:{{{workload}}}:{key}"

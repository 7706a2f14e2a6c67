"""Reserves start times under rates that many processes share, in Redis, by the generic cell rate algorithm (GCRA).

Each rate is one hash: `t`, the time at which its bucket is full; `i` and `b`, interval (s) and burst in force; `v`,
their version; `p`, the end of a backoff; `q`, the time at which the bucket of prefetched starts is full. Losing the
data resets the rates.
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, cast

from shared.redis.client import RedisClient
from shared.redis.keys import RATES

RESERVE_AHEAD_S = 0.1
"""Start times are reserved at most this many seconds ahead, so that a changed rate takes effect at once."""
MAX_WAIT_S = 5.0
"""A start time further away than this many seconds is not reserved: the caller should ask again later."""
LATENESS_S, PREFETCH_LATENESS_S = 0.02, 0.1
"""Latest start after the reserved time, in seconds. A prefetched start may be later."""
RESOLUTION_S = 0.001
"""Start times closer than this many seconds are returned as one, at the time of the last."""
_TTL_S = 3600
_PREFETCH_SHARE = 1 / 40
"""Part of a rate that may be prefetched, in a bucket of its own: late starts add next to nothing to any second."""
_RESERVE = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local wanted, ahead, patience, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local grain, share = tonumber(ARGV[5]), tonumber(ARGV[6])
local rates, first = {}, now
for n, key in ipairs(KEYS) do
  local i, b, v = tonumber(ARGV[3 * n + 4]), tonumber(ARGV[3 * n + 5]), tonumber(ARGV[3 * n + 6])
  local known = redis.call('HMGET', key, 't', 'i', 'b', 'v', 'p', 'q')
  local full_at = math.max(tonumber(known[1] or now), now)
  if known[4] and tonumber(known[4]) > v then
    i, b = tonumber(known[2]), tonumber(known[3])
  elseif not known[4] or tonumber(known[4]) < v then
    if known[2] and i < tonumber(known[2]) then full_at = math.min(full_at, now + b * i) end
    redis.call('HSET', key, 'i', ARGV[3 * n + 4], 'b', b, 'v', ARGV[3 * n + 6])
  end
  rates[n] = {key, i, b, full_at, math.max(tonumber(known[6] or now), now)}
  first = math.max(first, tonumber(known[5] or 0))
end
local stock = share > 0 and first <= now and wanted or 0
for _, rate in ipairs(rates) do
  stock = math.min(stock, math.floor((now + ahead - math.max(rate[4], rate[5])) / rate[2] * share))
end
if stock > 0 and 2 * stock >= wanted then wanted = stock else stock = 0 end
local starts, began = {stock}, nil
for n = 1, wanted do
  local start = first
  for _, rate in ipairs(rates) do start = math.max(start, rate[4] - (rate[3] - 1) * rate[2]) end
  if n > 1 and start - now > ahead then break end
  if start - now > patience then return {-math.ceil((start - now) * 1e6)} end
  for _, rate in ipairs(rates) do rate[4] = math.max(rate[4], start) + rate[2] end
  local at = math.ceil((start - now) * 1e6)
  if began and at - began <= grain then
    starts[#starts - 1], starts[#starts] = at, starts[#starts] + 1
  else
    starts[#starts + 1], starts[#starts + 2], began = at, 1, at
  end
end
for _, rate in ipairs(rates) do
  redis.call('HSET', rate[1], 't', string.format('%.6f', rate[4]))
  if stock > 0 then redis.call('HSET', rate[1], 'q', string.format('%.6f', rate[5] + stock * rate[2] / share)) end
  redis.call('EXPIRE', rate[1], kept + math.ceil(math.max(0, rate[4] - now)))
end
return starts
"""
_BACK_OFF = """
local now = redis.call('TIME')
local till = tonumber(now[1]) + tonumber(now[2]) / 1e6 + tonumber(ARGV[1])
if till > tonumber(redis.call('HGET', KEYS[1], 'p') or 0) then
  redis.call('HSET', KEYS[1], 'p', string.format('%.6f', till))
  redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) + math.ceil(math.max(0, tonumber(ARGV[1]))))
end
"""


class KeyRate(NamedTuple):
    """Rate of one key. Of two versions the higher one is in force, whichever process sends it."""

    key: str
    interval_s: float
    burst: int
    version: int


class ReservedStarts(NamedTuple):
    """`calls` calls may start in `in_s` seconds from now, at most `late_s` seconds later."""

    in_s: float
    calls: int
    late_s: float = LATENESS_S


class RateReservations:
    """Reserves start times in Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._reserve = redis.client.register_script(_RESERVE)
        self._back_off = redis.client.register_script(_BACK_OFF)

    async def reserve(
        self, rates: Sequence[KeyRate], wanted: int, *, prefetch: bool = False
    ) -> list[ReservedStarts] | None:
        """Reserve up to `wanted` starts, at least one unless `wanted` is 0; return them, the earliest first.

        `prefetch`: reserve starts that may be used later, if the rate allows.

        Returns a single entry with a negative `in_s` if no start is available for `-in_s` seconds, and None if Redis is
        unavailable.
        """
        args: list[float] = [
            wanted,
            RESERVE_AHEAD_S,
            MAX_WAIT_S,
            _TTL_S,
            round(RESOLUTION_S * 1e6),
            _PREFETCH_SHARE if prefetch else 0,
        ]
        for rate in rates:
            args += (rate.interval_s, rate.burst, rate.version)
        call = cast("Awaitable[list[int] | None]", self._reserve(keys=[rate.key for rate in rates], args=args))
        answer = await self._redis.attempt(call, None)
        if answer is None:
            return None
        if answer and answer[0] < 0:
            return [ReservedStarts(answer[0] / 1e6, 0)]
        late_s = PREFETCH_LATENESS_S if answer[0] else LATENESS_S
        return [
            ReservedStarts(micros / 1e6, calls, late_s)
            for micros, calls in zip(answer[1::2], answer[2::2], strict=True)
        ]

    async def back_off(self, key: str, seconds: float) -> None:
        """Reserve no start under a key for so many seconds, or longer if a longer backoff is known."""
        call = cast("Awaitable[None]", self._back_off(keys=[key], args=[seconds, _TTL_S]))
        await self._redis.attempt(call, None)


def rate_key(workload: str, key: str) -> str:
    """Return the key of a rate in Redis. The rates of one workload share a slot of a Redis cluster."""
    return f"{RATES}{{{workload}}}:{key}"

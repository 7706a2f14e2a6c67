"""Start times under rates that many processes keep together, agreed through Redis by the generic cell rate algorithm.

One hash a rate: `t`, the time at which its bucket is full; `i` and `b`, interval and burst in force; `v`, their
version; `p`, until when it is parked. All of it may vanish.
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, cast

from shared.redis.client import RedisClient

AHEAD_S = 0.1
"""Nobody holds start times further ahead than this, so that a changed rate holds at once."""
PATIENCE_S = 5.0
"""A start further away than this is not given: the caller should ask again later."""
LATENESS_S, STOCK_S = 0.02, 0.1
"""How long after its time a call may still start; and one of a stock, for which it has to take the room of `_DEAR`
others: so what is left of a stock adds next to nothing to the calls of any second, and only a rate that is far above
what is used can be had so."""
GRAIN_S = 0.001
"""Starts so close to each other are told as one, at the time of the last of them."""
_KEPT_S = 3600
_DEAR = 20
_RESERVE = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local wanted, ahead, patience, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local grain, dear = tonumber(ARGV[5]), tonumber(ARGV[6])
local rates, first = {}, now
for n, key in ipairs(KEYS) do
  local i, b, v = tonumber(ARGV[3 * n + 4]), tonumber(ARGV[3 * n + 5]), tonumber(ARGV[3 * n + 6])
  local known = redis.call('HMGET', key, 't', 'i', 'b', 'v', 'p')
  local full_at = math.max(tonumber(known[1] or now), now)
  if known[4] and tonumber(known[4]) > v then
    i, b = tonumber(known[2]), tonumber(known[3])
  elseif not known[4] or tonumber(known[4]) < v then
    if known[2] and i < tonumber(known[2]) then full_at = math.min(full_at, now + b * i) end
    redis.call('HSET', key, 'i', ARGV[3 * n + 4], 'b', b, 'v', ARGV[3 * n + 6])
  end
  rates[n] = {key, i, b, full_at}
  first = math.max(first, tonumber(known[5] or 0))
end
local stock = dear > 1 and first <= now and wanted or 0
for _, rate in ipairs(rates) do stock = math.min(stock, math.floor((now + ahead - rate[4]) / rate[2] / dear)) end
local cost = 1
if stock > 0 and 2 * stock >= wanted then wanted, cost = stock, dear else stock = 0 end
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
  rate[4] = rate[4] + stock * (cost - 1) * rate[2]
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


class ReservedStarts(NamedTuple):
    """So many calls may start in so many seconds, and no later than `late_s` after that."""

    in_s: float
    calls: int
    late_s: float = LATENESS_S


class RateReservations:
    """Hands out start times."""

    def __init__(self, memory: RedisClient) -> None:
        self._memory = memory
        self._reserve = memory.client.register_script(_RESERVE)
        self._park = memory.client.register_script(_PARK)

    async def starts(self, rates: Sequence[Rate], wanted: int, *, stock: bool = False) -> list[ReservedStarts] | None:
        """When up to `wanted` calls may start, at least one unless none is wanted; the earliest first. As a `stock`, if
        it can be had.

        One whose time is below zero: none for so many seconds. None: Redis does not answer.
        """
        args: list[float] = [wanted, AHEAD_S, PATIENCE_S, _KEPT_S, round(GRAIN_S * 1e6), _DEAR if stock else 1]
        for rate in rates:
            args += (rate.interval_s, rate.burst, rate.version)
        call = cast("Awaitable[list[int] | None]", self._reserve(keys=[rate.key for rate in rates], args=args))
        answer = await self._memory.attempt(call, None)
        if answer is None:
            return None
        if answer and answer[0] < 0:
            return [ReservedStarts(answer[0] / 1e6, 0)]
        late_s = STOCK_S if answer[0] else LATENESS_S
        return [
            ReservedStarts(micros / 1e6, calls, late_s)
            for micros, calls in zip(answer[1::2], answer[2::2], strict=True)
        ]

    async def park(self, key: str, seconds: float, *, at_most: bool = False) -> None:
        """Let nothing start under a key for so long; `at_most`: even if it was to wait for longer."""
        call = cast("Awaitable[None]", self._park(keys=[key], args=[seconds, "1" if at_most else "0", _KEPT_S]))
        await self._memory.attempt(call, None)


def key_of(workload: str, key: str) -> str:
    """The name of a rate in Redis. Those of one workload share a slot of a cluster."""
    return f"pace:{{{workload}}}:{key}"

"""Start times as Redis hands them out: exact under any rate, and in stock where the rate is far above what is used."""

import itertools
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from devstack import Servers
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import LATENESS_S, PREFETCH_LATENESS_S, RESERVE_AHEAD_S, KeyRate, RateReservations
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def reservations(servers: Servers) -> AsyncIterator[RateReservations]:
    memory = RedisClient(servers.redis_url, PATIENCE_S)
    yield RateReservations(memory)
    await memory.close()


def rate(per_second: float, burst: int = 1) -> KeyRate:
    return KeyRate(f"test:{uuid.uuid4()}", 1 / per_second, burst, 1)


async def test_starts_are_as_far_apart_as_the_rate_says(reservations: RateReservations) -> None:
    limit = rate(100, burst=3)
    asked = time.monotonic()
    starts = await reservations.reserve([limit], 50)
    assert starts is not None
    assert sum(s.calls for s in starts) <= 3 + 1 + round(RESERVE_AHEAD_S * 100)
    assert starts[0].calls == 3
    assert all(s.late_s == LATENESS_S for s in starts)
    times = [s.in_s for s in starts[1:]]
    assert all(after - before >= 0.0099 for before, after in itertools.pairwise(times))
    more = await reservations.reserve([limit], 1)
    assert more is not None
    assert more[0].in_s >= times[-1] - (time.monotonic() - asked), "each counts from when it was asked"


async def test_a_stock_is_had_only_where_the_rate_is_far_above_what_is_used(reservations: RateReservations) -> None:
    starts = await reservations.reserve([rate(1_000_000)], 500, prefetch=True)
    assert starts is not None
    assert sum(s.calls for s in starts) == 500
    assert len(starts) == 1
    assert {s.late_s for s in starts} == {PREFETCH_LATENESS_S}
    limit = rate(1000)
    starts = await reservations.reserve([limit], 100, prefetch=True)
    assert starts is not None
    assert {s.late_s for s in starts} == {LATENESS_S}


async def test_stocks_are_a_small_part_of_a_rate(reservations: RateReservations) -> None:
    limit, asked = rate(10_000), 60
    stocked = others = 0
    began = time.monotonic()
    for number in range(asked):
        prefetch = number % 2 == 0
        starts = await reservations.reserve([limit], 20 if prefetch else 300, prefetch=prefetch)
        assert starts is not None
        stocked += sum(s.calls for s in starts if s.late_s == PREFETCH_LATENESS_S)
        others += sum(s.calls for s in starts if s.late_s == LATENESS_S)
    span_s = time.monotonic() - began + RESERVE_AHEAD_S
    assert 20 <= stocked <= span_s * 10_000 / 40
    assert stocked + others <= span_s * 10_000 + asked, "each request gets one start at least, however far away"


async def test_a_stock_takes_no_more_of_the_rate_than_its_calls(reservations: RateReservations) -> None:
    limit = rate(100_000)
    starts = await reservations.reserve([limit], 250, prefetch=True)
    assert starts is not None
    assert {s.late_s for s in starts} == {PREFETCH_LATENESS_S}
    more = await reservations.reserve([limit], 100, prefetch=True)
    assert more is not None
    assert {s.late_s for s in more} == {LATENESS_S}, "the stock is used up"
    assert more[0].in_s <= 350 / 100_000


async def test_every_rate_of_several_is_kept(reservations: RateReservations) -> None:
    starts = await reservations.reserve([rate(1000), rate(20)], 10)
    assert starts is not None
    assert [s.calls for s in starts] == [1, 1, 1]
    assert starts[1].in_s == pytest.approx(0.05, abs=0.005)


async def test_a_parked_key_gives_nothing_for_long(reservations: RateReservations) -> None:
    limit = rate(1000)
    await reservations.back_off(limit.key, 60)
    starts = await reservations.reserve([limit], 5, prefetch=True)
    assert starts is not None
    assert starts[0].in_s == pytest.approx(-60, abs=1)

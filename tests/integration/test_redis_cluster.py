"""All keys of one call to Redis are in one slot, so that a cluster takes it; a refused call stops no other."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.flow import CacheInvalidated
from batchyard_contracts.v1.values import Dedup, Reuse
from services.ingest.submission.dedup_index import DedupIndex
from services.worker.caching.result_cache import CachedResult, ClaimRelease, InFlightItem, ResultCache
from services.worker.workloads.distances.known_routes import KnownRoutes
from services.worker.workloads.distances.places import Leg, Place, Route
from services.worker.workloads.videos.job_slots import JobSlots
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import KeyRate, RateReservations, rate_key
from shared.redis.spending import SpendingLimit
from tests.integration.test_worker_cache import order, policy
from tests.support.patience import PATIENCE_S
from tests.support.redis_cluster import redis_cluster

PAYLOADS: list[tuple[Any, str]] = [({"n": number}, f"c{number}") for number in range(20)]


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[RedisClient]:
    async with redis_cluster(tmp_path) as url:
        client = RedisClient(url, PATIENCE_S)
        try:
            with capture_logs() as logs:
                yield client
            assert not logs
        finally:
            await client.close()


@pytest.mark.parametrize("reuse", [None, Reuse(dedup=Dedup(mode="attach", ttl_s=60), cache="off")])
async def test_results_are_cached_in_a_cluster(memory: RedisClient, reuse: Reuse | None) -> None:
    cache, rules = ResultCache(memory), policy(reuse=reuse)
    claimed_at, found = await cache.claim(rules, PAYLOADS)
    assert (claimed_at > 0, found) == (True, [None] * 20)
    await cache.renew(rules, PAYLOADS)
    await cache.release(rules, claimed_at, [ClaimRelease(payload, who, b"7") for payload, who in PAYLOADS[:10]])
    _, found = await cache.claim(rules, [(payload, "another") for payload, _ in PAYLOADS])
    assert [type(entry) for entry in found] == [CachedResult] * 10 + [InFlightItem] * 10
    command: CacheInvalidated = order(None)
    assert await cache.invalidate(command)


async def test_rates_places_ways_and_sums_are_kept_in_a_cluster(memory: RedisClient) -> None:
    rates = [KeyRate(rate_key("w", name), 0.01, 1, 1) for name in ("calls:a", "account:b")]
    assert await RateReservations(memory).reserve(rates, 3)
    places = JobSlots(memory, 3, 60.0)
    assert await places.take("one")
    assert await places.claim("job-1", "one")
    assert await places.unclaimed(["job-1", "job-2", "job-3"], "two") == ["job-2", "job-3"]
    ways = {Leg(Place(1.0, 2.0), Place(3.0, float(n))): Route(1000, 60) for n in range(20)}
    known = KnownRoutes(memory, "osrm", "http://osrm", 5, 60)
    await known.keep(ways)
    assert await known.find(list(ways)) == ways
    assert await SpendingLimit(memory, "videos", 5.0).reserve(UUID(int=1), "call", 1.0) == "reserved"
    index, batch_id = DedupIndex(memory), UUID(int=1)
    fingerprints = {number.to_bytes(16, "big"): number for number in range(1000)}
    assert await index.add(batch_id, fingerprints) == {}
    assert await index.lookup(batch_id, fingerprints) == fingerprints
    await index.delete(batch_id)
    assert await index.lookup(batch_id, fingerprints) == {}


async def test_a_call_that_redis_refuses_stops_no_other(tmp_path: Path) -> None:
    async with redis_cluster(tmp_path) as url:
        client = RedisClient(url, PATIENCE_S)
        try:
            with capture_logs() as logs:
                for _ in range(3):
                    assert await client.attempt(cast("Any", client.client.mget(["a", "b"])), "fallback") == "fallback"
                    assert not client.is_unavailable
                    assert await client.attempt(cast("Any", client.client.set("a", "1")), None)
            assert [entry["log_level"] for entry in logs] == ["error"]
        finally:
            await client.close()

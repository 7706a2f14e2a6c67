"""Results are remembered, made once at a time, and forgotten when told; without Redis everything runs."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic_core import to_json

from batchyard_contracts.v1.flow import CacheInvalidated
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Dedup, Reuse
from batchyard_contracts.v1.work import ChunkHead
from batchyard_contracts.workload import Caching, Context, Limits
from devstack import Servers
from services.worker.caching import result_cache
from services.worker.caching.result_cache import (
    MAX_RESULT_BYTES,
    CachedResult,
    CachePolicy,
    ClaimRelease,
    InFlightItem,
    ResultCache,
    cache_policy,
)
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from shared.messaging.publisher import Publisher
from shared.redis.client import RedisClient
from tests.support.chunk_runs import Number, Recorder, chunk, workload
from tests.support.patience import PATIENCE_S

MANIFEST = Manifest(name="w", version="1", item_schema={}, result_schema={}, cache_ttl_s=60)


def head(reuse: Reuse | None = None, owner: str = "a") -> ChunkHead:
    names: dict[str, Any] = {"owner": owner, "workload": "w", "priority": "normal", "partition": ""}
    return ChunkHead(chunk_id=UUID(int=1), fence=1, batch_id=UUID(int=2), round=1, attempt=1, reuse=reuse, **names)


def policy(manifest: Manifest = MANIFEST, reuse: Reuse | None = None, owner: str = "a") -> CachePolicy:
    found = cache_policy(manifest, head(reuse, owner))
    assert found is not None
    return found


def order(payload: Any) -> CacheInvalidated:
    return CacheInvalidated(workload="w", version="1", cache_ttl_s=60, payload=payload, at=datetime.now(UTC))


@pytest.fixture
async def memory(clean: Servers) -> AsyncIterator[RedisClient]:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    yield memory
    await memory.close()


@pytest.fixture
def cache(memory: RedisClient) -> ResultCache:
    return ResultCache(memory)


async def run(
    cache: ResultCache, payload: Any, result: Any, rules: CachePolicy | None = None, who: str = "1:0"
) -> None:
    began, found = await cache.claim(rules or policy(), [(payload, who)])
    assert found == [None]
    await cache.release(rules or policy(), began, [ClaimRelease(payload, who, to_json(result))])


@pytest.mark.parametrize("value", [1, 10**30, -(2**63) - 1, 2**64, 0.5, "ä:1", "\ud800", None, {"b": [1], "a": {}}])
async def test_a_released_result_is_found_afterwards(cache: ResultCache, value: Any) -> None:
    await run(cache, {"n": value}, {"result": 10**30})
    _, found = await cache.claim(policy(), [({"n": value}, "2:0"), ({"n": "other"}, "2:1")])
    assert found == [CachedResult({"result": 10**30}), None]


async def test_the_order_of_keys_does_not_matter(cache: ResultCache) -> None:
    await run(cache, {"a": 1, "b": 2}, "known")
    assert (await cache.claim(policy(), [({"b": 2, "a": 1}, "2:0")]))[1] == [CachedResult("known")]


async def test_items_with_the_same_deduplication_key_are_the_same(memory: RedisClient) -> None:
    manifest = MANIFEST.model_copy(update={"dedup": "/url"})
    cache = ResultCache(memory)
    await run(cache, {"url": "x", "note": 1}, "known", policy(manifest))
    items = [({"url": "x", "note": 2}, "2:0"), ({"url": "y"}, "2:1"), ({"note": 3}, "2:2")]
    assert (await cache.claim(policy(manifest), items))[1] == [CachedResult("known"), None, None]


async def test_an_item_is_claimed_by_one_at_a_time(cache: ResultCache) -> None:
    claims = await asyncio.gather(*(cache.claim(policy(), [({"n": 7}, f"{n}:0")]) for n in range(20)))
    ours = [n for n, (_, found) in enumerate(claims) if found == [None]]
    assert len(ours) == 1
    assert all(isinstance(found[0], InFlightItem) for n, (_, found) in enumerate(claims) if n not in ours)
    await cache.release(policy(), claims[ours[0]][0], [ClaimRelease({"n": 7}, f"{ours[0]}:0", b"49")])
    assert (await cache.claim(policy(), [({"n": 7}, "99:0")]))[1] == [CachedResult(49)]


async def test_a_redelivered_run_keeps_its_claim(cache: ResultCache) -> None:
    for _ in range(2):
        assert (await cache.claim(policy(), [({"n": 7}, "1:0")]))[1] == [None]


async def test_a_claim_without_a_result_can_be_taken_by_another(cache: ResultCache) -> None:
    began, _ = await cache.claim(policy(), [({"n": 7}, "1:0")])
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "1:0")])
    assert (await cache.claim(policy(), [({"n": 7}, "2:0")]))[1] == [None]


async def test_a_claim_that_is_kept_remains_with_its_claimant(cache: ResultCache) -> None:
    began, _ = await cache.claim(policy(), [({"n": 7}, "1:0")])
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "1:0", keep_claim_s=30.0)])
    assert isinstance((await cache.claim(policy(), [({"n": 7}, "2:0")]))[1][0], InFlightItem)
    assert (await cache.claim(policy(), [({"n": 7}, "1:0")]))[1] == [None]


async def test_a_lost_claim_does_not_release_that_of_another(cache: ResultCache, memory: RedisClient) -> None:
    began, _ = await cache.claim(policy(), [({"n": 7}, "1:0")])
    await memory.client.flushdb()
    assert (await cache.claim(policy(), [({"n": 7}, "2:0")]))[1] == [None]
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "1:0")])
    assert isinstance((await cache.claim(policy(), [({"n": 7}, "3:0")]))[1][0], InFlightItem)


@pytest.mark.parametrize("payload", [{"n": 7}, None], ids=["one payload", "all of the workload"])
async def test_a_forgotten_result_is_made_anew(cache: ResultCache, payload: Any) -> None:
    await run(cache, {"n": 7}, 49)
    await run(cache, {"n": 8}, 64)
    assert await cache.invalidate(order(payload))
    _, found = await cache.claim(policy(), [({"n": 7}, "2:0"), ({"n": 8}, "2:1")])
    assert found == [None, CachedResult(64) if payload else None]


@pytest.mark.parametrize("payload", [{"n": 7}, None], ids=["one payload", "all of the workload"])
async def test_a_result_claimed_before_an_invalidation_is_not_stored(cache: ResultCache, payload: Any) -> None:
    began, _ = await cache.claim(policy(), [({"n": 7}, "1:0")])
    await asyncio.sleep(0.002)  # the clock has milliseconds
    assert await cache.invalidate(order(payload))
    await asyncio.sleep(0.002)  # what is claimed in the millisecond of an invalidation counts as claimed before it
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "1:0", b"49")])
    began, found = await cache.claim(policy(), [({"n": 7}, "2:0")])
    assert found == [None]
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "2:0", b"50")])
    assert (await cache.claim(policy(), [({"n": 7}, "3:0")]))[1] == [CachedResult(50)]


async def test_a_refresh_makes_everything_anew_and_keeps_it(cache: ResultCache) -> None:
    await run(cache, {"n": 7}, 49)
    await run(cache, {"n": 7}, 50, policy(reuse=Reuse(cache="refresh")), who="2:0")
    assert (await cache.claim(policy(), [({"n": 7}, "3:0")]))[1] == [CachedResult(50)]


async def test_a_result_that_is_too_large_is_not_remembered(cache: ResultCache) -> None:
    await run(cache, {"n": 7}, "x" * MAX_RESULT_BYTES)
    assert (await cache.claim(policy(), [({"n": 7}, "2:0")]))[1] == [None]


async def test_results_and_flights_do_not_outlive_their_time(cache: ResultCache, memory: RedisClient) -> None:
    await run(cache, {"n": 7}, 49)
    await cache.claim(policy(), [({"n": 8}, "1:1")])
    ttls = [await memory.client.pttl(key) async for key in memory.client.scan_iter("*")]
    assert len(ttls) == 2
    assert all(0 < ttl <= 90_000 for ttl in ttls)


async def test_without_redis_everything_runs() -> None:
    memory = RedisClient("redis://127.0.0.1:1/0")
    cache = ResultCache(memory)
    began, found = await cache.claim(policy(), [({"n": 7}, "1:0"), ({"n": 7}, "1:1")])
    assert found == [None, None]
    await cache.release(policy(), began, [ClaimRelease({"n": 7}, "1:0", b"49")])
    assert not await cache.invalidate(order(None))
    await memory.close()


def test_nothing_is_looked_up_unless_it_was_asked_for() -> None:
    plain = MANIFEST.model_copy(update={"cache_ttl_s": 0})
    assert cache_policy(plain, head()) is None
    assert cache_policy(plain, head(Reuse(cache="refresh"))) is None
    assert cache_policy(plain, head(Reuse(dedup=Dedup(mode="reject")))) is None
    assert cache_policy(MANIFEST, head(Reuse(cache="off"))) is None


def test_batches_attach_to_each_other_within_an_owner_and_its_time() -> None:
    plain, attach = MANIFEST.model_copy(update={"cache_ttl_s": 0}), Reuse(dedup=Dedup(ttl_s=5))
    a, b = policy(plain, attach, "a"), policy(plain, attach, "b")
    assert a.key_prefix != b.key_prefix
    assert (a.ttl_s, a.read_results) == (5, True)
    assert policy(reuse=Reuse(cache="off", dedup=Dedup())).key_prefix == a.key_prefix, (
        "what is not cached may be attached to"
    )


async def test_a_renewed_claim_outlives_the_item_timeout(cache: ResultCache) -> None:
    short = dataclasses.replace(policy(), claim_ttl_ms=400)
    ours, theirs = ({"n": 1}, "1:0"), ({"n": 2}, "1:1")
    await cache.claim(short, [ours, theirs])
    for _ in range(4):
        await asyncio.sleep(0.2)  # the clock is that of Redis
        await cache.renew(short, [ours, ({"n": 2}, "3:3")])
    _, found = await cache.claim(short, [({"n": 1}, "2:0"), ({"n": 2}, "2:1")])
    assert isinstance(found[0], InFlightItem)
    assert found[1] is None, "only who made it its own may keep it"


async def test_a_chunk_that_takes_its_time_keeps_its_last_items(
    cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_cache, "_CLAIM_MARGIN_S", 0.2)
    work = workload(limits=Limits(concurrency=1, item_timeout_s=0.3), caching=Caching(ttl_s=60))

    @work.handler
    async def run_one(item: Number, _: Context) -> Number:
        await asyncio.sleep(0.2)
        return item

    async def asks_last() -> None:
        rules = cache_policy(work.manifest, chunk(0))
        assert rules is not None
        while recorder.outcomes.keys() != set(range(5)):
            _, found = await cache.claim(rules, [({"n": 5}, "another")])
            assert found != [None], "somebody else began what was still to be made"
            await asyncio.sleep(0.05)

    recorder = Recorder()
    runner = ItemRunner(work, None, cast("Publisher", recorder), cache, "w1")
    runner.unfinished += 6
    running = asyncio.create_task(ChunkExecution(runner, chunk(*range(6)), None, 0.01).run())
    async with asyncio.timeout(PATIENCE_S):
        while not recorder.outcomes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asks_last()
        await running
    assert {o.status for o in recorder.outcomes.values()} == {"succeeded"}

"""Places for jobs at a provider, and the owner of each job: known to all workers, or to none without Redis."""

import asyncio

from devstack import Servers
from services.worker.workloads.videos.places import Places
from shared.redis.client import RedisClient
from tests.support.patience import PATIENCE_S


async def test_places_are_bounded_and_given_back(clean: Servers) -> None:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    try:
        places = Places(memory, 2, 60)
        assert [await places.take(item) for item in ("a", "b", "c", "a")] == [True, True, False, True]
        await places.keep("d")  # it has a job already
        await places.free("a")
        assert not await places.take("c")
        await places.free("d")
        assert await places.take("c")
        short = Places(memory, 2, 1)
        await places.free("b")
        assert await short.take("e")
        await asyncio.sleep(1.1)  # Redis itself counts the time
        assert await places.take("f"), "a place that nobody renewed is free"
    finally:
        await memory.close()


async def test_a_job_is_one_item_s(clean: Servers) -> None:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    try:
        places = Places(memory, 2, 60)
        assert await places.claim("job", "a")
        assert await places.claim("job", "a")
        assert not await places.claim("job", "b")
        assert await places.unclaimed(["job", "other"], "b") == ["other"]
        assert await places.unclaimed(["job", "other"], "a") == ["job", "other"]
    finally:
        await memory.close()


async def test_without_redis_nothing_is_held_up() -> None:
    memory = RedisClient("redis://127.0.0.1:9/0")
    places = Places(memory, 0, 60)
    assert await places.take("a")
    assert await places.claim("job", "a")
    assert await places.unclaimed(["job"], "b") == ["job"]
    await places.free("a")
    await memory.close()

"""Slots for jobs at a provider, and the owner of each job: known to all workers, or to none without Redis."""

import asyncio

from devstack import Servers
from services.worker.workloads.videos.job_slots import JobSlots
from shared.redis.client import RedisClient
from tests.support.patience import PATIENCE_S


async def test_places_are_bounded_and_given_back(clean: Servers) -> None:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    try:
        slots = JobSlots(memory, 2, 60)
        assert [await slots.take(item) for item in ("a", "b", "c", "a")] == [True, True, False, True]
        await slots.keep("d")  # it has a job already
        await slots.free("a")
        assert not await slots.take("c")
        await slots.free("d")
        assert await slots.take("c")
        short = JobSlots(memory, 2, 1)
        await slots.free("b")
        assert await short.take("e")
        await asyncio.sleep(1.1)  # Redis itself counts the time
        assert await slots.take("f"), "a slot that nobody renewed is free"
    finally:
        await memory.close()


async def test_a_job_is_one_item_s(clean: Servers) -> None:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    try:
        slots = JobSlots(memory, 2, 60)
        assert await slots.claim("job", "a")
        assert await slots.claim("job", "a")
        assert not await slots.claim("job", "b")
        assert await slots.unclaimed(["job", "other"], "b") == ["other"]
        assert await slots.unclaimed(["job", "other"], "a") == ["job", "other"]
    finally:
        await memory.close()


async def test_without_redis_nothing_is_held_up() -> None:
    memory = RedisClient("redis://127.0.0.1:9/0")
    slots = JobSlots(memory, 0, 60)
    assert await slots.take("a")
    assert await slots.claim("job", "a")
    assert await slots.unclaimed(["job"], "b") == ["job"]
    await slots.free("a")
    await memory.close()

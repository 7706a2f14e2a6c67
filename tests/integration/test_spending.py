"""The limit of what a batch may spend, counted in a real Redis by several workers."""

import asyncio
from uuid import uuid4

from devstack import Servers
from shared.redis.client import RedisClient
from shared.redis.spending import SpendingLimit


async def test_workers_together_reserve_no_more_than_the_limit(clean: Servers) -> None:
    memories = [RedisClient(clean.redis_url, deadline_s=10) for _ in range(3)]
    limits = [SpendingLimit(memory, "videos", 1.0) for memory in memories]
    batch, other = uuid4(), uuid4()
    try:
        answers = await asyncio.gather(*(limits[n % 3].reserve(batch, f"{n}", 0.1) for n in range(30)))
        assert answers.count("reserved") == 10
        assert set(answers) == {"reserved", "exceeded"}
        taken = answers.index("reserved")
        assert await limits[0].reserve(batch, f"{taken}", 0.1) == "reserved", "the same call counts once"
        await limits[1].settle(batch, f"{taken}", 0.02)
        assert await limits[2].reserve(batch, "more", 0.1) == "exceeded"
        assert await limits[2].reserve(batch, "less", 0.05) == "reserved"
        assert await limits[0].reserve(other, "0", 1.0) == "reserved", "each batch has a limit of its own"
    finally:
        for memory in memories:
            await memory.close()


async def test_nothing_is_reserved_while_redis_is_away() -> None:
    memory = RedisClient("redis://127.0.0.1:1")
    assert await SpendingLimit(memory, "videos", 1.0).reserve(uuid4(), "0", 0.1) == "unknown"
    await memory.close()

"""The fingerprints of a long upload take little of the memory that rates and cached results share."""

import uuid
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b

import pytest

from devstack import Servers
from services.ingest.submission.dedup_index import TTL_S, DedupIndex
from shared.redis.client import RedisClient
from tests.support.patience import PATIENCE_S

ITEMS, PAGE = 200_000, 1000
MAX_BYTES_PER_ITEM = 45
BATCH = uuid.UUID(int=1)


@pytest.fixture
async def memory(clean: Servers) -> AsyncIterator[RedisClient]:
    client = RedisClient(clean.redis_url, PATIENCE_S)
    yield client
    await client.close()


def fingerprints(first: int, count: int) -> dict[bytes, int]:
    """Return fingerprints as ingest makes them, with their ordinals."""
    return {blake2b(b"%d" % number, digest_size=16).digest(): number for number in range(first, first + count)}


async def used(memory: RedisClient) -> int:
    """Return the memory of all fingerprints, in bytes."""
    names = [name async for name in memory.client.scan_iter("ingest:dedup:*", count=1000)]
    async with memory.client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.memory_usage(name, samples=0)
        return sum(await pipeline.execute())


async def test_fingerprints_take_little_memory_and_are_all_found(
    memory: RedisClient, record_property: Callable[[str, object], None]
) -> None:
    index = DedupIndex(memory)
    for first in range(0, ITEMS, PAGE):
        assert await index.add(BATCH, fingerprints(first, PAGE)) == {}
    per_item = await used(memory) / ITEMS
    record_property("bytes_per_item", per_item)
    assert per_item < MAX_BYTES_PER_ITEM
    for first in (0, ITEMS - PAGE):
        assert await index.lookup(BATCH, fingerprints(first, PAGE)) == fingerprints(first, PAGE)
    assert await index.add(BATCH, fingerprints(ITEMS - 1, 2)) == fingerprints(ITEMS - 1, 1)
    assert await index.lookup(uuid.UUID(int=2), fingerprints(0, PAGE)) == {}


async def test_a_batch_leaves_nothing_behind(memory: RedisClient) -> None:
    index, client = DedupIndex(memory), memory.client
    await index.add(BATCH, fingerprints(0, PAGE))
    names = [name async for name in client.scan_iter("ingest:dedup:*")]
    assert names
    assert all([0 < await client.ttl(name) <= TTL_S for name in names])
    await index.delete(BATCH)
    assert [name async for name in client.scan_iter("ingest:dedup:*")] == []

"""Processes of ingest keep the limits of an owner together."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from devstack import Servers
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.limits import shared_use
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.limits.shared_use import SharedUse
from shared.redis.client import RedisClient
from shared.redis.keys import LIMITS
from tests.support.patience import PATIENCE_S, until

NOW = 1_000_000.0
ANN = Caller("ann", frozenset(), "k")


@pytest.fixture
async def memory(clean: Servers) -> AsyncIterator[RedisClient]:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    yield memory
    await memory.close()


def process(memory: RedisClient) -> tuple[LimitKeeper, SharedUse]:
    keeper = LimitKeeper(cast("Any", None), OwnerLimits(uploads=3, requests=10), lambda: NOW)
    return keeper, SharedUse(memory, keeper)


async def exchanged(*shared: SharedUse) -> None:
    """Let each process tell its use, and then read that of all."""
    for _ in range(2):
        for each in shared:
            await each.exchange()


async def test_use_that_one_process_permits_counts_in_the_others(memory: RedisClient) -> None:
    processes = [process(memory) for _ in range(3)]
    (first, _), (second, _), (third, _) = processes
    shared = [each for _, each in processes]
    with first.upload("ann"), second.upload("ann"):
        for _ in range(4):
            first.take_request(ANN)
            second.take_request(ANN)
        await exchanged(*shared)
        with third.upload("ann"), pytest.raises(IngestError, match="uploads"), third.upload("ann"):
            pass
        assert third.take_request(ANN).left == 1
        await shared[0].leave()
        await exchanged(*shared[1:])
        assert third.use("ann")["uploads"] == 1
    assert await memory.client.scard(LIMITS + "{processes}") == 2, "one that has left is forgotten"


async def test_a_process_that_was_killed_is_forgotten(memory: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_use, "_LASTS_S", 1)
    (killed, its_use), (other, use) = process(memory), process(memory)
    with killed.upload("ann"):
        await exchanged(its_use, use)
        assert other.use("ann")["uploads"] == 1

        async def known_uploads() -> int:
            await use.exchange()
            return other.use("ann")["uploads"]

        await until(known_uploads, lambda uploads: uploads == 0, pause_s=0.1)


async def test_without_redis_each_counts_for_itself() -> None:
    unreachable = RedisClient("redis://127.0.0.1:9/0")
    keeper, use = process(unreachable)
    with keeper.upload("ann"):
        await use.exchange()
        assert keeper.use("ann")["uploads"] == 1
    await unreachable.close()

"""The fixtures that give tests their servers: empty between tests, skipped on a laptop, a failure in CI."""

import aio_pika
import asyncpg
import pytest
import redis.asyncio
from _pytest.outcomes import Failed, Skipped

from batchyard_contracts.topology import INGEST_COMMANDS
from devstack import Servers
from tests.support.servers import do_without, empty


async def test_emptying_keeps_queues_and_tables_and_deletes_what_they_hold(clean: Servers) -> None:
    database = await asyncpg.connect(clean.database_url)
    memory = redis.asyncio.from_url(clean.redis_url)
    async with await aio_pika.connect(clean.amqp_url) as broker:
        channel = await broker.channel()
        queue = await channel.declare_queue(
            INGEST_COMMANDS.name, durable=True, arguments={**INGEST_COMMANDS.arguments()}
        )
        await channel.default_exchange.publish(aio_pika.Message(b"left over"), queue.name)
        await database.execute("create schema if not exists corner")
        await database.execute('create table if not exists corner."Left" (n serial)')
        await database.execute('insert into corner."Left" default values')
        await memory.set("left", 1)

        await empty(clean)

        assert await queue.get(fail=False, timeout=5) is None
        assert await database.fetchval('select count(*) from corner."Left"') == 0
        assert await memory.dbsize() == 0
        await database.execute("drop schema corner cascade")
    await database.close()
    await memory.aclose()


def test_a_missing_server_skips_the_test_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="Not found: Redis"):
        do_without("Not found: Redis")


def test_a_missing_server_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(Failed, match="Not found: Redis"):
        do_without("Not found: Redis")

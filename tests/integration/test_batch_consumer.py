"""Batches from a real queue: what fails alone, what is held, and what a lost connection leaves behind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import aio_pika
import pytest

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from shared.messaging import handling
from shared.messaging.batch_consumer import BatchConsumer, DecodedMessage
from shared.messaging.connection import connect
from shared.messaging.delivery import is_stale
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from shared.runtime.health import Pulse
from tests.support.patience import PATIENCE_S
from tests.support.tcp_proxy import TcpProxy

QUEUE = topology.WORKER_CACHE
MOST = 4


class Harness:
    """A consumer of one queue whose handler does what the test says."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.consumer: BatchConsumer
        self.tries: list[str] = []
        """Names of the workloads of the messages, once for each try."""
        self.done: list[str] = []
        self.failures_left: dict[str, int] = {}
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._changed = asyncio.Condition()

    async def send(self, *workloads: str) -> None:
        now = datetime.now(UTC)
        messages = [CacheInvalidated(workload=name, version="1", cache_ttl_s=1, at=now) for name in workloads]
        await self.publisher.publish([outgoing(topology.FLOW, message) for message in messages])

    async def handle(self, batch: Sequence[DecodedMessage]) -> None:
        names = [cast("CacheInvalidated", got.message).workload for got in batch]
        async with self._changed:
            self.tries += names
            self._changed.notify_all()
        await self.may_go_on.wait()
        for name in names:
            if self.failures_left.get(name, 0) > 0:
                self.failures_left[name] -= 1
                raise KeyError(name)
        async with self._changed:
            self.done += names
            self._changed.notify_all()

    async def until(self, names: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: names <= set(self.done))

    async def until_tried(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.tries) >= number)


@asynccontextmanager
async def open_harness(servers: Servers, url: str | None = None) -> AsyncIterator[Harness]:
    publisher = await Publisher.open(servers.amqp_url, "harness")
    connection = await connect(url or servers.amqp_url, "harness-consume")
    try:
        await declare(publisher.connection)
        harness = Harness(publisher)
        harness.consumer = BatchConsumer(
            connection,
            publisher,
            QUEUE,
            [CacheInvalidated],
            harness.handle,
            Pulse("harness", 60),
            max_messages=MOST,
        )
        running = asyncio.create_task(harness.consumer.run())
        yield harness
        harness.may_go_on.set()
        harness.consumer.stop()
        await asyncio.wait_for(running, PATIENCE_S)
    finally:
        await connection.close()
        await publisher.close()


async def dead_letters(servers: Servers) -> int:
    connection = await aio_pika.connect(servers.amqp_url)
    async with connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(QUEUE.dead_name, passive=True)
        return declared.declaration_result.message_count or 0


async def test_a_message_that_comes_alone_is_tried_several_times(clean: Servers) -> None:
    async with open_harness(clean) as at:
        at.failures_left["a"] = handling.MAX_ATTEMPTS - 1
        await at.send("a")
        await at.until({"a"})

        assert at.tries == ["a"] * handling.MAX_ATTEMPTS
        assert await dead_letters(clean) == 0


async def test_a_row_of_failures_stops_the_queue_until_the_defect_is_gone(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(handling, "HOLD_PAUSE_S", 0.01)
    names = [f"w{number}" for number in range(handling.MAX_FAILURES_IN_A_ROW + 3)]
    async with open_harness(clean) as at:
        at.failures_left = dict.fromkeys(names, 10**6)
        await at.send(*names)
        async with asyncio.timeout(PATIENCE_S):
            while at.consumer.is_working:  # noqa: ASYNC110  readiness has no event
                await asyncio.sleep(0.01)
        await at.until_tried(len(at.tries) + 3)
        assert at.done == []
        assert await dead_letters(clean) == handling.MAX_FAILURES_IN_A_ROW

        at.failures_left = {}
        await at.until(set(names[handling.MAX_FAILURES_IN_A_ROW :]))

        assert at.consumer.is_working
        assert await dead_letters(clean) == handling.MAX_FAILURES_IN_A_ROW


async def test_messages_of_lost_connections_do_not_pile_up(clean: Servers) -> None:
    names = {f"w{number}" for number in range(6 * MOST)}
    async with TcpProxy(clean.amqp_url) as proxy, open_harness(clean, proxy.url) as at:
        at.may_go_on.clear()
        await at.send(*names)
        await at.until_tried(1)
        for _ in range(3):
            connections = proxy.connections
            proxy.cut()
            async with asyncio.timeout(PATIENCE_S):
                while proxy.connections == connections or not redelivered(at.consumer):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the library has no event for it
            assert len(at.consumer._arrived) <= 2 * MOST
        at.may_go_on.set()
        await at.until(names)


def redelivered(consumer: BatchConsumer) -> bool:
    """Tell whether the newest message has come over a connection that is open."""
    return bool(consumer._arrived) and not is_stale(consumer._arrived[-1])

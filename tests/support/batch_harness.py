"""A consumer in batches on a real queue, whose handler does what a test says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import cast

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from shared.messaging.batch_consumer import BatchConsumer, DecodedMessage
from shared.messaging.connection import connect
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from shared.runtime.health import Pulse
from tests.support.patience import PATIENCE_S

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

"""The bare road of one item, for comparison: the least that a durable batch of four services costs. It is no product.

    python -m benchmarks.peers.bare_road tables|ingest|dispatcher|worker|aggregator|submit

A command with its items travels as one message through four processes and comes back as an event. Each process waits
for the confirm of what it publishes before it acknowledges; three of them commit a row first. All queues are quorum
queues. Nobody waits for two of them: by these a dispatcher learns of the end, and an aggregator of the beginning.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aio_pika
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue

from benchmarks.peers.submitter import AMQP_URL, DATABASE_URL, QUEUE, Clock, Ran, serve_async

_COMMANDS, _PAGES, _CHUNKS = (f"{QUEUE}.{name}" for name in ("commands", "pages", "chunks"))
_OUTCOMES, _BEGUN, _REPORTS = (f"{QUEUE}.{name}" for name in ("outcomes", "begun", "reports"))
_TABLES = """
CREATE TABLE batch (id text PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE lease (id text PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE outcome (id text PRIMARY KEY, body bytea NOT NULL);
"""
_PREFETCH = 64


class Service:
    """Connections of one process of the road."""

    def __init__(self, connection: AbstractConnection, publishing: AbstractConnection, pool: asyncpg.Pool) -> None:
        self._connection = connection
        self._publishing = publishing
        self._pool = pool
        self._exchange: aio_pika.abc.AbstractExchange | None = None

    @classmethod
    async def open(cls) -> "Service":
        """Connect, and declare all queues of the road."""
        connection, publishing = await aio_pika.connect(AMQP_URL), await aio_pika.connect(AMQP_URL)
        service = cls(connection, publishing, await asyncpg.create_pool(DATABASE_URL, min_size=2, max_size=4))
        channel = await publishing.channel(publisher_confirms=True)
        for name in (_COMMANDS, _PAGES, _CHUNKS, _OUTCOMES, _BEGUN, _REPORTS):
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        service._exchange = channel.default_exchange
        return service

    async def consume(self, queue: str, step: Callable[[bytes], Awaitable[None]]) -> None:
        """Run a step for each message of a queue, and acknowledge the message when it is done."""
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=_PREFETCH)

        async def take(message: AbstractIncomingMessage) -> None:
            await step(message.body)
            await message.ack()

        await (await channel.get_queue(queue)).consume(take)

    async def save(self, table: str, body: bytes) -> None:
        """Commit one row."""
        await self._pool.execute(f"INSERT INTO {table} VALUES ($1, $2)", orjson.loads(body)["id"], body)

    async def saved(self, table: str, batch: str) -> bytes:
        """Read one row."""
        body: bytes = await self._pool.fetchval(f"SELECT body FROM {table} WHERE id = $1", batch)
        return body

    async def publish(self, body: bytes, *queues: str) -> None:
        """Send a message to each queue, and wait for the confirms."""
        if self._exchange is None:
            raise AssertionError
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await asyncio.gather(*(self._exchange.publish(message, queue) for queue in queues))

    async def own_queue(self) -> AbstractQueue:
        """Declare a queue for the events of one client."""
        return await (await self._connection.channel()).declare_queue(exclusive=True)


async def ingest() -> None:
    """Commit a command, and pass it on."""
    service = await Service.open()

    async def accept(body: bytes) -> None:
        await service.save("batch", body)
        await service.publish(body, _PAGES, _BEGUN)

    await service.consume(_COMMANDS, accept)
    await asyncio.Event().wait()


async def dispatcher() -> None:
    """Commit a lease, and send the chunk; hear of its end."""
    service = await Service.open()

    async def lease(body: bytes) -> None:
        await service.save("lease", body)
        await service.publish(body, _CHUNKS)

    await service.consume(_PAGES, lease)
    await service.consume(_REPORTS, _ignore)
    await asyncio.Event().wait()


async def worker() -> None:
    """Run a chunk, and report it to both services."""
    service = await Service.open()

    async def run(body: bytes) -> None:
        chunk = orjson.loads(body)
        chunk["results"] = [{"n": n * n} for n in chunk.pop("items")]
        await service.publish(orjson.dumps(chunk), _OUTCOMES, _REPORTS)

    await service.consume(_CHUNKS, run)
    await asyncio.Event().wait()


async def aggregator() -> None:
    """Commit the outcomes, and tell the client; hear of the beginning."""
    service = await Service.open()

    async def record(body: bytes) -> None:
        report = orjson.loads(body)
        await service.save("outcome", body)
        await service.publish(report["id"].encode(), report["reply_to"])

    await service.consume(_OUTCOMES, record)
    await service.consume(_BEGUN, _ignore)
    await asyncio.Event().wait()


async def submit() -> None:
    """Serve the runner's questions."""
    service = await Service.open()
    events = await service.own_queue()
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def on_event(message: AbstractIncomingMessage) -> None:
        ended.put_nowait(message.body.decode())

    await events.consume(on_event, no_ack=True)

    async def batch(_: str, items: int) -> Ran:
        clock, batch_id = Clock(), str(uuid4())
        command = {"id": batch_id, "reply_to": events.name, "items": list(range(items))}
        await service.publish(orjson.dumps(command), _COMMANDS)
        clock.mark_submitted()
        while await ended.get() != batch_id:
            pass
        clock.mark_ended()
        results = orjson.loads(await service.saved("outcome", batch_id))["results"]
        return clock, len(results), sum(result["n"] for result in results)

    await serve_async(batch)


async def make_tables() -> None:
    """Make the three tables, once."""
    connection = await asyncpg.connect(DATABASE_URL)
    await connection.execute(_TABLES)
    await connection.close()


async def _ignore(_: bytes) -> None:
    """Take a message that only has to arrive."""


_ROLES = {
    "tables": make_tables,
    "ingest": ingest,
    "dispatcher": dispatcher,
    "worker": worker,
    "aggregator": aggregator,
    "submit": submit,
}

if __name__ == "__main__":
    uvloop.run(_ROLES[sys.argv[1]]())

"""The bare chunk pipeline, for comparison. It is no product: one batch at a time, without failures and rates.

    python -m benchmarks.peers.chunk_pipeline tables|worker|submit

One persistent, confirmed message a chunk on a quorum queue; the worker runs the items, writes their outcomes and the
batch's counter in one transaction, publishes the end when nothing is left, and acks.
"""

import asyncio
import sys
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from benchmarks.peers.submitter import AMQP_URL, CHUNK, DATABASE_URL, NAP_S, QUEUE, Clock, Ran, serve_async

_ENDS = f"{QUEUE}.ends"
_TABLES = """
CREATE TABLE batch (id uuid PRIMARY KEY, total int NOT NULL, done int NOT NULL DEFAULT 0);
CREATE TABLE outcome (batch uuid, ordinal int, result bytea NOT NULL, PRIMARY KEY (batch, ordinal));
"""
_SAVE = """
WITH fresh AS (
  INSERT INTO outcome SELECT $1, * FROM unnest($2::int[], $3::bytea[]) ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE batch SET done = done + (SELECT count(*) FROM fresh) WHERE id = $1 RETURNING done = total
"""


async def make_tables() -> None:
    """Make the two tables, once."""
    connection = await asyncpg.connect(DATABASE_URL)
    await connection.execute(_TABLES)
    await connection.close()


async def _square(n: int) -> dict[str, int]:
    return {"n": n * n}


async def _nap(n: int) -> dict[str, int]:
    await asyncio.sleep(NAP_S)
    return {"n": n * n}


class Worker:
    """Runs chunks."""

    def __init__(self, pool: asyncpg.Pool, ends: AbstractChannel) -> None:
        self._pool = pool
        self._ends = ends
        self._slots = asyncio.Semaphore(50)

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Run one chunk to its durable end."""
        chunk = orjson.loads(message.body)
        numbers = chunk["items"]
        if chunk["kind"] == "nap":
            results = await asyncio.gather(*map(self._with_slot, numbers))
        else:
            results = [await _square(n) for n in numbers]
        batch = UUID(chunk["batch"])
        if await self._pool.fetchval(_SAVE, batch, numbers, [orjson.dumps(result) for result in results]):
            await _publish(self._ends, _ENDS, chunk["batch"].encode())
        await message.ack()

    async def _with_slot(self, n: int) -> dict[str, int]:
        async with self._slots:
            return await _nap(n)


async def work() -> None:
    """Run chunks until the process is ended."""
    connection = await aio_pika.connect(AMQP_URL)
    pool = await asyncpg.create_pool(DATABASE_URL, min_size=2, max_size=4)
    worker = Worker(pool, await _channel(connection))
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=max(4, 100 // CHUNK))
    queue = await channel.get_queue(QUEUE)
    await queue.consume(worker.take)
    await asyncio.Event().wait()


class Submitter:
    """Submits batches, one at a time."""

    def __init__(self, pool: asyncpg.Pool, channel: AbstractChannel) -> None:
        self._pool = pool
        self._channel = channel
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    async def on_batch_ended(self, message: AbstractIncomingMessage) -> None:
        """Record the end of a batch."""
        self._ended.put_nowait(message.body.decode())
        await message.ack()

    async def batch(self, kind: str, items: int) -> Ran:
        """Run a batch to its end."""
        clock = Clock()
        batch = uuid4()
        await self._pool.execute("INSERT INTO batch VALUES ($1, $2)", batch, items)
        size = min(CHUNK, max(1, items // 20)) if kind == "nap" else CHUNK
        await asyncio.gather(
            *(
                _publish(
                    self._channel,
                    QUEUE,
                    orjson.dumps(
                        {"batch": str(batch), "kind": kind, "items": list(range(start, min(items, start + size)))}
                    ),
                )
                for start in range(0, items, size)
            )
        )
        clock.mark_submitted()
        while await self._ended.get() != str(batch):
            pass
        clock.mark_ended()
        rows = await self._pool.fetch("SELECT result FROM outcome WHERE batch = $1", batch)
        return clock, len(rows), sum(orjson.loads(row["result"])["n"] for row in rows)


async def submit() -> None:
    """Serve the runner's questions."""
    connection = await aio_pika.connect(AMQP_URL)
    pool = await asyncpg.create_pool(DATABASE_URL, min_size=1, max_size=2)
    submitter = Submitter(pool, await _channel(connection))
    ends = await (await connection.channel()).get_queue(_ENDS)
    await ends.consume(submitter.on_batch_ended)
    await serve_async(submitter.batch)


async def _channel(connection: aio_pika.abc.AbstractConnection) -> AbstractChannel:
    channel = await connection.channel(publisher_confirms=True)
    for name in (QUEUE, _ENDS):
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
    return channel


async def _publish(channel: AbstractChannel, queue: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, queue)


if __name__ == "__main__":
    uvloop.run({"tables": make_tables, "worker": work, "submit": submit}[sys.argv[1]]())

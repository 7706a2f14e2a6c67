"""Passes messages through a quorum queue, each persistent, confirmed and acknowledged; two processes, nothing else.

    python -m benchmarks.limits.passing publish|take URL QUEUE FILE

The file has a body a line. Each side says READY when it stands, and the moment of its work (first publish, last
acknowledgement) by the clock that all processes share.
"""

import asyncio
import sys
import time
from pathlib import Path

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage

WINDOW = 200
_GROUP = 20


async def publish(url: str, queue: str, bodies: list[bytes]) -> None:
    """Begin on a line of standard input."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        window = asyncio.Semaphore(WINDOW)

        async def send(body: bytes) -> None:
            async with window:
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, queue, mandatory=True)

        print("READY", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        await asyncio.gather(*map(send, bodies))
        print(began, flush=True)


async def take(url: str, queue: str, bodies: list[bytes]) -> None:
    """Take as many as there are lines."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=WINDOW)
        declared = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        taken, all_of_them = 0, asyncio.Event()

        async def one(message: AbstractIncomingMessage) -> None:
            nonlocal taken
            taken += 1
            if taken % _GROUP == 0 or taken == len(bodies):
                await message.ack(multiple=True)
            if taken == len(bodies):
                all_of_them.set()

        await declared.consume(one)
        print("READY", flush=True)
        await all_of_them.wait()
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    side, url, queue, file = sys.argv[1:]
    uvloop.run({"publish": publish, "take": take}[side](url, queue, Path(file).read_bytes().splitlines()))

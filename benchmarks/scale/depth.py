"""Watches how many messages wait in RabbitMQ while a batch runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel

from batchyard_contracts.topology import QUEUES, work_queues

_PAUSE_S = 0.5
"""Each look asks for some thirty queues, and the broker's time is the batch's."""


class Depths:
    """The most messages seen at one moment: in each queue, and in all of them together."""

    def __init__(self) -> None:
        self.looks = 0
        self.together = 0
        self.deepest: dict[str, int] = {}

    def look(self, now: dict[str, int]) -> None:
        """Take one reading."""
        self.looks += 1
        self.together = max(self.together, sum(now.values()))
        self.deepest = {queue: max(count, self.deepest.get(queue, 0)) for queue, count in now.items()}


@asynccontextmanager
async def watching_depth(amqp_url: str, workload: str) -> AsyncIterator[Depths]:
    """Ask the broker for each queue of the topology twice a second while the block runs.

    Counted is what waits. What consumers hold unacknowledged is not in it: their prefetch bounds that.
    """
    names = [name for queue in (*QUEUES, *work_queues(workload)) for name in _with_dead(queue.name, queue.dead_queue())]
    depths = Depths()
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()

        async def look_on() -> None:
            while True:
                depths.look(await _counts(channel, names))
                await asyncio.sleep(_PAUSE_S)

        looking = asyncio.create_task(look_on())
        try:
            yield depths
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


def _with_dead(name: str, dead: object) -> Iterable[str]:
    return (name,) if dead is None else (name, f"{name}.dead")


async def _counts(channel: AbstractChannel, names: Iterable[str]) -> dict[str, int]:
    counts = {}
    for name in names:
        queue = await channel.declare_queue(name, passive=True)
        counts[name] = queue.declaration_result.message_count or 0
    return counts

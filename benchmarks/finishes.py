"""Hears the ends of batches as any program may: a queue of its own on the exchange of public events."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a batch, and when it was heard (`time.perf_counter`)."""

    event: BatchFinished
    heard_at: float


class Finishes:
    """The ends heard so far; the oldest are forgotten."""

    def __init__(self) -> None:
        self._heard: OrderedDict[UUID, Finish] = OrderedDict()
        self._news = asyncio.Condition()

    async def of(self, batch_id: UUID, within_s: float) -> Finish:
        """Wait for the end of a batch. Raises `TimeoutError`."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: batch_id in self._heard)
            return self._heard[batch_id]

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Take an event."""
        at = time.perf_counter()
        event = BatchFinished.decode(message.body)
        async with self._news:
            self._heard[event.batch_id] = Finish(event, at)
            if len(self._heard) > _MOST:
                self._heard.popitem(last=False)
            self._news.notify_all()


@asynccontextmanager
async def hearing_finishes(amqp_url: str) -> AsyncIterator[Finishes]:
    """Subscribe, for as long as the block runs."""
    finishes = Finishes()
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(EVENTS, f"{BatchFinished.type}.#")
        await queue.consume(finishes.hear, no_ack=True)
        yield finishes

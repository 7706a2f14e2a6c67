"""Subscribes to the ends of batches like any program, with a queue of its own on the exchange of public events."""

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
    """The end of a batch, and its time of arrival (`time.perf_counter`)."""

    event: BatchFinished
    received_at: float


class Finishes:
    """Received ends; the oldest are dropped."""

    def __init__(self) -> None:
        self._ends: OrderedDict[UUID, Finish] = OrderedDict()
        self._changed = asyncio.Condition()

    async def of(self, batch_id: UUID, within_s: float) -> Finish:
        """Wait for the end of a batch. Raises `TimeoutError`."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: batch_id in self._ends)
            return self._ends[batch_id]

    async def on_batch_finished(self, message: AbstractIncomingMessage) -> None:
        """Record an event."""
        at = time.perf_counter()
        event = BatchFinished.decode(message.body)
        async with self._changed:
            self._ends[event.batch_id] = Finish(event, at)
            if len(self._ends) > _MOST:
                self._ends.popitem(last=False)
            self._changed.notify_all()


@asynccontextmanager
async def subscribed_finishes(amqp_url: str) -> AsyncIterator[Finishes]:
    """Subscribe, for as long as the block runs."""
    finishes = Finishes()
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(EVENTS, f"{BatchFinished.type}.#")
        await queue.consume(finishes.on_batch_finished, no_ack=True)
        yield finishes

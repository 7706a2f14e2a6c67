"""Subscribes to the ends of batches with plain aio-pika: the contract is the interface, not our client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.topology import EVENTS
from batchyard_contracts.v1.events import BatchFinished


class FinishedEvents:
    """The events of one batch, as they came."""

    def __init__(self, batch_id: UUID) -> None:
        self._batch_id = batch_id
        self.events: list[BatchFinished] = []
        self.traceparents: list[str] = []

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Keep an event if it is about the batch."""
        async with message.process():
            event = BatchFinished.decode(message.body)
            if event.batch_id == self._batch_id:
                self.events.append(event)
                self.traceparents.append(str(message.headers.get("traceparent", "")))


@asynccontextmanager
async def finished_events(amqp_url: str, batch_id: UUID) -> AsyncIterator[FinishedEvents]:
    """Listen from the beginning of the context to its end."""
    found = FinishedEvents(batch_id)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, f"{BatchFinished.type}.*.default")  # those of one owner, for whom the address is
        await queue.consume(found.take)
        yield found

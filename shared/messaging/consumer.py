"""Consumes queues with FastStream, a few messages at a time. Bundles are taken apart, except on queues that clients
reach.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from aio_pika import RobustConnection
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue
from faststream.rabbit.subscriber import RabbitSubscriber

from batchyard_contracts.broker_urls import broker_urls
from batchyard_contracts.topology import Queue
from shared.messaging.bundles import deliveries
from shared.messaging.connection import HEARTBEAT_S, connect
from shared.messaging.delivery import Delivery, to_delivery
from shared.messaging.message_router import MessageRouter, Route
from shared.messaging.publisher import Publisher
from shared.runtime.transient import retry_transient

START_PATIENCE_S = 5.0
"""Longest time in seconds that `start` waits for queues; those that are missing are consumed when they are there."""


class ControlBroker(RabbitBroker):
    """FastStream broker over a connection of `shared.messaging.connection`."""

    def __init__(self, url: str, name: str, heartbeat_s: int) -> None:
        super().__init__(broker_urls(url)[0], apply_types=False, graceful_timeout=15.0, logger=None)
        self._address = (url, name, heartbeat_s)

    async def _connect(self) -> RobustConnection:
        connection = cast("RobustConnection", await connect(*self._address))
        self.config.connect(connection)
        self._channel = await self.config.channel_manager.get_channel()
        return connection


class Consumer:
    """FastStream broker that runs handlers for the messages of queues. A queue that is missing stops no other."""

    def __init__(
        self,
        url: str,
        publisher: Publisher,
        name: str,
        *,
        heartbeat_s: int = HEARTBEAT_S,
        priority: int = 0,
        anonymous_owner: str | None = None,
        replies_by_default_exchange: bool = True,
    ) -> None:
        """`priority`: messages go to the consumers of a queue with the highest one, while they have room.

        `anonymous_owner`: see `ClientMessages`; `replies_by_default_exchange`: see `send_reply`.
        """
        self._anonymous_owner = anonymous_owner
        self._replies_by_default_exchange = replies_by_default_exchange
        self._publisher = publisher
        self._priority = priority
        self._in_progress: set[asyncio.Task[object]] = set()
        self._abandoned = False
        self._broker = ControlBroker(url, f"{name}-control", heartbeat_s)
        self._routers: list[MessageRouter] = []
        self._subscribers: list[tuple[str, RabbitSubscriber]] = []
        self._starting: list[asyncio.Task[None]] = []

    @property
    def is_working(self) -> bool:
        """True if every queue is consumed, and none of their messages is held."""
        return all(task.done() for task in self._starting) and all(router.is_working for router in self._routers)

    def subscribe(
        self,
        queue: Queue,
        routes: Sequence[Route],
        *,
        concurrency: int = 10,
    ) -> None:
        """Run the handler of each message's type, for at most `concurrency` messages at a time."""
        router = MessageRouter(
            self._publisher,
            queue,
            routes,
            anonymous_owner=self._anonymous_owner,
            replies_by_default_exchange=self._replies_by_default_exchange,
        )
        self._routers.append(router)

        async def handle(received: _Received) -> None:
            task = asyncio.current_task()
            if self._abandoned or task is None:
                raise asyncio.CancelledError
            self._in_progress.add(task)
            task.add_done_callback(self._in_progress.discard)
            for delivery in received.deliveries:
                await router.handle(router.identify(delivery))

        subscriber = self._broker.subscriber(
            RabbitQueue(queue.name, declare=False),
            channel=Channel(prefetch_count=concurrency),
            consume_args={"x-priority": self._priority},
            ack_policy=AckPolicy.NACK_ON_ERROR,
            decoder=_whole if queue.is_public else _taken_apart,
            no_reply=True,
        )
        subscriber(handle)
        self._subscribers.append((queue.name, subscriber))

    async def start(self) -> None:
        """Connect, and consume the queues that are there."""
        await self._broker.connect()
        self._starting = [
            asyncio.create_task(retry_transient(subscriber.start, queue)) for queue, subscriber in self._subscribers
        ]
        await asyncio.wait(self._starting, timeout=START_PATIENCE_S)

    async def stop(self) -> None:
        """Stop consuming, finish the messages in progress, disconnect."""
        for task in self._starting:
            task.cancel()
        await self._broker.stop()

    async def abandon(self) -> None:
        """Stop at once: cancel the handlers in progress, whose messages go back to the queue."""
        self._abandoned = True
        for task in list(self._in_progress):
            task.cancel()
        await self.stop()


@dataclass(frozen=True, slots=True)
class _Received:
    """The messages that one AMQP message brings: those of a bundle, else one."""

    deliveries: Sequence[Delivery]


async def _whole(message: RabbitMessage) -> _Received:
    return _Received([to_delivery(message.raw_message)])


async def _taken_apart(message: RabbitMessage) -> _Received:
    return _Received(deliveries(message.raw_message))

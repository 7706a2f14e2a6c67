"""Consumes queues with FastStream, a few messages at a time, and handles all errors the same way.

A message that cannot be decoded, or that its handler refuses with `MessageRejected`, becomes a dead letter with the
reason. `HandlerRunner` says how often a handler is tried. A handler's reply is published once, without a retry: a
client that has gone, or one whose reply queue is full, delays nobody. Bundles are taken apart, except on queues that
clients reach.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aio_pika import RobustConnection
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue
from faststream.rabbit.subscriber import RabbitSubscriber

from batchyard_contracts.broker_urls import broker_urls
from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.topology import Queue
from batchyard_contracts.v1.queries import QueryFailed
from shared.messaging.bundles import deliveries
from shared.messaging.connection import HEARTBEAT_S, connect
from shared.messaging.dead_letters import dead_letter
from shared.messaging.delivery import Delivery, decode, to_delivery
from shared.messaging.handling import HandlerRunner
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.observability.telemetry import span
from shared.runtime.errors import HandlerFailed, MessageRejected, PublishFailed
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
START_PATIENCE_S = 5.0
"""Longest time in seconds that `start` waits for queues; those that are missing are consumed when they are there."""
REPLY_TIMEOUT_S = 5.0
_REPLY_TO = re.compile(r"(amq\.rabbitmq\.reply-to\.|amq\.gen-|amq_|batchyard\.reply\.).+")
"""Names of reply queues: direct reply-to, broker-named, and those with Batchyard's prefix. Replies go to no other
queue, so that a client cannot make a service write into one."""

Handler = Callable[[Any, Envelope], Awaitable[Message | None]]
InvalidMessageHandler = Callable[[Delivery, MessageRejected], Awaitable[Message | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """Message type and the handler for its messages."""

    kind: type[Message]
    handler: Handler


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
        self, url: str, publisher: Publisher, name: str, *, heartbeat_s: int = HEARTBEAT_S, priority: int = 0
    ) -> None:
        """`priority`: messages go to the consumers of a queue with the highest one, while they have room."""
        self._publisher = publisher
        self._priority = priority
        self._in_progress: set[asyncio.Task[object]] = set()
        self._abandoned = False
        self._broker = ControlBroker(url, f"{name}-control", heartbeat_s)
        self._runners: list[HandlerRunner] = []
        self._subscribers: list[tuple[str, RabbitSubscriber]] = []
        self._starting: list[asyncio.Task[None]] = []

    @property
    def is_working(self) -> bool:
        """True if every queue is consumed, and none of their messages is held."""
        return all(task.done() for task in self._starting) and all(runner.is_working for runner in self._runners)

    def subscribe(
        self,
        queue: Queue,
        routes: Sequence[Route],
        *,
        concurrency: int = 10,
        on_invalid: InvalidMessageHandler | None = None,
    ) -> None:
        """Run the handler of each message's type, for at most `concurrency` messages at a time.

        `on_invalid` is called with a rejected message before it becomes a dead letter; its result is the reply.
        """
        handlers = {route.kind.type: route.handler for route in routes}
        decoders = {route.kind.type: route.kind for route in routes}
        runner = HandlerRunner(queue)
        self._runners.append(runner)

        async def handle(received: _Received) -> None:
            task = asyncio.current_task()
            if self._abandoned or task is None:
                raise asyncio.CancelledError
            self._in_progress.add(task)
            task.add_done_callback(self._in_progress.discard)
            for delivery in received.deliveries:
                structlog.contextvars.bind_contextvars(message_id=delivery.envelope.message_id)
                with span(f"process {delivery.envelope.type}", delivery.envelope.traceparent):
                    await handle_one(delivery)

        async def handle_one(delivery: Delivery) -> None:
            envelope = delivery.envelope
            try:
                message = decode(delivery, decoders)
                reply = await runner.run(lambda: handlers[envelope.type](message, envelope))
            except MessageRejected as error:
                reply = await _reply_to_rejected(on_invalid, delivery, error, queue)
                if not (error.is_retryable and reply is not None and envelope.reply_to):
                    await self._dead_letter(queue, delivery, str(error))
            except Exception as error:  # a defect: keep the message with the reason, continue with the next
                log.exception("handler failed", queue=queue.name, type=envelope.type)
                expects_reply = bool(envelope.reply_to)
                reply = (
                    await _reply_to_rejected(on_invalid, delivery, HandlerFailed(), queue) if expects_reply else None
                )
                await self._dead_letter(queue, delivery, f"{type(error).__name__}: {error}")
            if reply is not None and envelope.reply_to:
                await self._reply(envelope.reply_to, envelope, reply)

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

    async def _dead_letter(self, queue: Queue, delivery: Delivery, reason: str) -> None:
        await retry_transient(lambda: dead_letter(self._publisher, queue, delivery, reason), "dead letters")

    async def _reply(self, reply_to: str, envelope: Envelope, reply: Message) -> None:
        if not _REPLY_TO.fullmatch(reply_to):
            log.info("no reply sent: not a reply queue", reply_to=reply_to[:100], type=reply.type)
            return
        message = OutgoingMessage(
            "",
            reply_to,
            reply.type,
            reply.encode(),
            correlation_id=envelope.correlation_id or envelope.message_id,
            persistent=False,
        )
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._publisher.publish([message])
        except (PublishFailed, TimeoutError, MessageRejected) as error:
            log.info("reply lost", type=reply.type, error=f"{type(error).__name__}: {error}"[:300])


async def _reply_to_rejected(
    on_invalid: InvalidMessageHandler | None, delivery: Delivery, refusal: MessageRejected, queue: Queue
) -> Message | None:
    """Return the reply to a rejected message; a sender that waits for a reply always gets one."""
    try:
        if on_invalid:
            return await retry_transient(lambda: on_invalid(delivery, refusal), queue.name)
    except Exception:  # a defect in it must not redeliver the message for ever
        log.exception("on_invalid failed", queue=queue.name, type=delivery.envelope.type)
    if delivery.envelope.reply_to:
        return QueryFailed(code="query_refused", detail=str(refusal))
    return None


@dataclass(frozen=True, slots=True)
class _Received:
    """The messages that one AMQP message brings: those of a bundle, else one."""

    deliveries: Sequence[Delivery]


async def _whole(message: RabbitMessage) -> _Received:
    return _Received([to_delivery(message.raw_message)])


async def _taken_apart(message: RabbitMessage) -> _Received:
    return _Received(deliveries(message.raw_message))

"""Consumes queues with FastStream, a few messages at a time, and handles all errors the same way.

A message that cannot be decoded, or that its handler refuses with `MessageRejected`, becomes a dead letter with the
reason. While a server is unavailable, the handler is repeated and keeps the message. Any other error is tried
`MAX_ATTEMPTS` times, then the message becomes a dead letter. A handler's reply is published once, without a retry: a
client that has gone, or one whose reply queue is full, delays nobody.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.topology import Queue
from batchyard_contracts.v1.queries import QueryFailed
from shared.messaging.connection import HEARTBEAT_S
from shared.messaging.dead_letters import dead_letter
from shared.messaging.delivery import Delivery, decode, to_delivery
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.observability.telemetry import span
from shared.runtime.errors import HandlerFailed, MessageRejected, PublishFailed
from shared.runtime.transient import is_transient, retry_transient

log = structlog.get_logger()
MAX_ATTEMPTS = 3
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


class Consumer:
    """FastStream broker that runs handlers for the messages of queues."""

    def __init__(
        self, url: str, publisher: Publisher, name: str, *, heartbeat_s: int = HEARTBEAT_S, priority: int = 0
    ) -> None:
        """`priority`: messages go to the consumers of a queue with the highest one, while they have room."""
        self._publisher = publisher
        self._priority = priority
        self._in_progress: set[asyncio.Task[object]] = set()
        self._abandoned = False
        self._broker = RabbitBroker(
            f"{url}{'&' if '?' in url else '?'}heartbeat={heartbeat_s}&name={name}-control",
            apply_types=False,
            graceful_timeout=15.0,
            logger=None,
        )

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

        async def handle(delivery: Delivery) -> None:
            task = asyncio.current_task()
            if self._abandoned or task is None:
                raise asyncio.CancelledError
            self._in_progress.add(task)
            task.add_done_callback(self._in_progress.discard)
            envelope = delivery.envelope
            structlog.contextvars.bind_contextvars(message_id=envelope.message_id)
            with span(f"process {envelope.type}", envelope.traceparent):
                try:
                    message = decode(delivery, decoders)
                    reply = await _run_handler(lambda: handlers[envelope.type](message, envelope), queue)
                except MessageRejected as error:
                    reply = await _reply_to_rejected(on_invalid, delivery, error, queue)
                    if not (error.is_retryable and reply is not None and envelope.reply_to):
                        await self._dead_letter(queue, delivery, str(error))
                except Exception as error:  # a defect: keep the message with the reason, continue with the next
                    log.exception("handler failed", queue=queue.name, type=envelope.type)
                    expects_reply = bool(envelope.reply_to)
                    reply = (
                        await _reply_to_rejected(on_invalid, delivery, HandlerFailed(), queue)
                        if expects_reply
                        else None
                    )
                    await self._dead_letter(queue, delivery, f"{type(error).__name__}: {error}")
                if reply is not None and envelope.reply_to:
                    await self._reply(envelope.reply_to, envelope, reply)

        self._broker.subscriber(
            RabbitQueue(queue.name, declare=False),
            channel=Channel(prefetch_count=concurrency),
            consume_args={"x-priority": self._priority},
            ack_policy=AckPolicy.NACK_ON_ERROR,
            decoder=_delivery,
            no_reply=True,
        )(handle)

    async def start(self) -> None:
        """Connect and consume."""
        await retry_transient(self._broker.start, "RabbitMQ")

    async def stop(self) -> None:
        """Stop consuming, finish the messages in progress, disconnect."""
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


async def _delivery(message: RabbitMessage) -> Delivery:
    return to_delivery(message.raw_message)


async def _run_handler(operation: Callable[[], Awaitable[Message | None]], queue: Queue) -> Message | None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return await retry_transient(operation, queue.name)
        except MessageRejected:
            raise
        except Exception as error:
            if attempt == MAX_ATTEMPTS or is_transient(error):
                raise
            log.warning(
                "retrying the handler", queue=queue.name, attempt=attempt, error=f"{type(error).__name__}: {error}"
            )
    raise AssertionError

"""The control plane: FastStream subscribers, a few messages of a queue at a time, with one way to treat every error.

A message that cannot be read, or that its handler refuses with `Rejected`, becomes a dead letter with the reason.
While a server is away the handler is run again, holding the message. Any other error is tried a few times, then the
message is a dead letter too. The answer of a handler goes to whoever asked for a reply, once: a client that is gone,
or that names a queue which takes nothing, holds up nobody.
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
from shared.messaging.delivery import Delivery, decode, received
from shared.messaging.publisher import Outgoing, Publisher
from shared.observability.telemetry import span
from shared.runtime.errors import HandlerFailed, PublishFailed, Rejected
from shared.runtime.transient import is_transient, retry_transient

log = structlog.get_logger()
TRIES = 3
REPLY_TIMEOUT_S = 5.0
_REPLY_TO = re.compile(r"(amq\.rabbitmq\.reply-to\.|amq\.gen-|amq_|batchyard\.reply\.).+")
"""Queues made for replies: direct reply-to, those that the broker named, and named ones under our prefix. A client
must not have us write into any other queue."""

Handler = Callable[[Any, Envelope], Awaitable[Message | None]]
Invalid = Callable[[Delivery, Rejected], Awaitable[Message | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """Which handler gets which message of a queue."""

    kind: type[Message]
    handler: Handler


class Consumer:
    """Subscribes handlers to queues."""

    def __init__(self, url: str, publisher: Publisher, name: str) -> None:
        self._publisher = publisher
        self._in_hand: set[asyncio.Task[object]] = set()
        self._abandoned = False
        self._broker = RabbitBroker(
            f"{url}{'&' if '?' in url else '?'}heartbeat={HEARTBEAT_S}&name={name}-control",
            apply_types=False,
            graceful_timeout=15.0,
            logger=None,
        )

    def subscribe(
        self, queue: Queue, routes: Sequence[Route], *, at_once: int = 10, invalid: Invalid | None = None
    ) -> None:
        """Run the handler that fits the type of each message, `at_once` of them at a time at most.

        `invalid` is told of a message that nobody can handle, before it becomes a dead letter; what it returns is
        the reply.
        """
        handlers = {route.kind.type: route.handler for route in routes}
        kinds = {route.kind.type: route.kind for route in routes}

        async def handle(delivery: Delivery) -> None:
            task = asyncio.current_task()
            if self._abandoned or task is None:
                raise asyncio.CancelledError
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)
            envelope = delivery.envelope
            structlog.contextvars.bind_contextvars(message_id=envelope.message_id)
            with span(f"process {envelope.type}", envelope.traceparent):
                try:
                    message = decode(delivery, kinds)
                    reply = await _persist(lambda: handlers[envelope.type](message, envelope), queue)
                except Rejected as error:
                    reply = await _refuse(invalid, delivery, error, queue)
                    if not (error.passing and reply is not None and envelope.reply_to):
                        await self._bury(queue, delivery, str(error))
                except Exception as error:  # a defect: keep the message, say why, go on with the next
                    log.exception("handler failed", queue=queue.name, type=envelope.type)
                    asked = bool(envelope.reply_to)
                    reply = await _refuse(invalid, delivery, HandlerFailed(), queue) if asked else None
                    await self._bury(queue, delivery, f"{type(error).__name__}: {error}")
                if reply is not None and envelope.reply_to:
                    await self._answer(envelope.reply_to, envelope, reply)

        self._broker.subscriber(
            RabbitQueue(queue.name, declare=False),
            channel=Channel(prefetch_count=at_once),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            decoder=_delivery,
            no_reply=True,
        )(handle)

    async def start(self) -> None:
        """Connect and consume."""
        await retry_transient(self._broker.start, "RabbitMQ")

    async def stop(self) -> None:
        """Stop taking messages, finish those in hand, disconnect."""
        await self._broker.stop()

    async def abandon(self) -> None:
        """Stop at once: what is in hand is broken off, and its message goes back to the queue."""
        self._abandoned = True
        for task in list(self._in_hand):
            task.cancel()
        await self.stop()

    async def _bury(self, queue: Queue, delivery: Delivery, reason: str) -> None:
        await retry_transient(lambda: dead_letter(self._publisher, queue, delivery, reason), "dead letters")

    async def _answer(self, reply_to: str, envelope: Envelope, reply: Message) -> None:
        if not _REPLY_TO.fullmatch(reply_to):
            log.info("no answer: not a queue for replies", reply_to=reply_to[:100], type=reply.type)
            return
        answer = Outgoing(
            "",
            reply_to,
            reply.type,
            reply.encode(),
            correlation_id=envelope.correlation_id or envelope.message_id,
            persistent=False,
        )
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._publisher.publish([answer])
        except (PublishFailed, TimeoutError, Rejected) as error:
            log.info("answer lost", type=reply.type, error=f"{type(error).__name__}: {error}"[:300])


async def _refuse(invalid: Invalid | None, delivery: Delivery, refusal: Rejected, queue: Queue) -> Message | None:
    """What to answer for a message that nobody can handle. Who waits is always answered."""
    try:
        if invalid:
            return await retry_transient(lambda: invalid(delivery, refusal), queue.name)
    except Exception:  # a defect there must not bring the message back for ever
        log.exception("refusal failed", queue=queue.name, type=delivery.envelope.type)
    if delivery.envelope.reply_to:
        return QueryFailed(code="query_refused", detail=str(refusal))
    return None


async def _delivery(message: RabbitMessage) -> Delivery:
    return received(message.raw_message)


async def _persist(operation: Callable[[], Awaitable[Message | None]], queue: Queue) -> Message | None:
    for attempt in range(1, TRIES + 1):
        try:
            return await retry_transient(operation, queue.name)
        except Rejected:
            raise
        except Exception as error:
            if attempt == TRIES or is_transient(error):
                raise
            log.warning("trying again", queue=queue.name, attempt=attempt, error=f"{type(error).__name__}: {error}")
    raise AssertionError

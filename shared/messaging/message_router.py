"""Runs the handler of each message's type, replies to its sender, and refuses what cannot be handled.

A message that cannot be decoded, or that its handler rejects with `MessageRejected`, is refused as `Refusals` says.
`HandlerRunner` says how often a handler is tried.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.topology import Queue
from shared.messaging.client_messages import ClientMessages
from shared.messaging.delivery import Delivery, decode
from shared.messaging.handling import HandlerRunner
from shared.messaging.publisher import Publisher
from shared.messaging.refusals import InvalidMessageHandler, Refusals, query_failed
from shared.messaging.replies import send_reply
from shared.observability.telemetry import span
from shared.runtime.errors import HandlerFailed, MessageRejected

log = structlog.get_logger()
Handler = Callable[[Any, Envelope], Awaitable[Message | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """Message type and the handler for its messages."""

    kind: type[Message]
    handler: Handler


class MessageRouter:
    """Handlers of the messages of one queue.

    `anonymous_owner`: see `ClientMessages`. `on_invalid` describes the refusal of a message. `throttles`: a sender of
    many invalid ones is not read for a while. `replies_by_default_exchange`: see `send_reply`.
    """

    def __init__(
        self,
        publisher: Publisher,
        queue: Queue,
        routes: Sequence[Route],
        *,
        anonymous_owner: str | None = None,
        on_invalid: InvalidMessageHandler = query_failed,
        throttles: bool = False,
        replies_by_default_exchange: bool = True,
    ) -> None:
        self._publisher = publisher
        self._queue = queue
        self._handlers = {route.kind.type: route.handler for route in routes}
        self._decoders = {route.kind.type: route.kind for route in routes}
        self._runner = HandlerRunner(queue)
        self._clients = ClientMessages(queue, anonymous_owner)
        self._by_default_exchange = replies_by_default_exchange
        self._refusals = Refusals(
            publisher, queue, on_invalid, throttles=throttles, by_default_exchange=replies_by_default_exchange
        )

    @property
    def is_working(self) -> bool:
        """True if none of the messages is held."""
        return self._runner.is_working

    def identify(self, delivery: Delivery) -> Delivery:
        """Return a message with its owner, if it has one."""
        return self._clients.identify(delivery)

    def drop_unread(self, message: AbstractIncomingMessage) -> bool:
        """Drop a message if it would not be read and nobody would be told; return whether. See `Refusals`."""
        return not message.reply_to and self._refusals.drop_unread(message.user_id or "", message.type or "")

    def is_readable(self, delivery: Delivery) -> bool:
        """False if an identified message is refused without a look at its body."""
        try:
            self._check(delivery)
        except MessageRejected:
            return False
        return delivery.fault is None and delivery.envelope.type in self._decoders

    async def handle(self, delivery: Delivery) -> None:
        """Handle an identified message; the caller acknowledges it afterwards."""
        envelope = delivery.envelope
        structlog.contextvars.bind_contextvars(message_id=envelope.message_id)
        with span(f"process {envelope.type}", envelope.traceparent):
            try:
                self._check(delivery)
                message = decode(delivery, self._decoders)
                self._clients.check_owner(delivery, message)
                handler = self._handlers[envelope.type]
                reply = await self._runner.run(lambda: handler(message, envelope), envelope.type)
            except MessageRejected as error:
                await self._refusals.refuse(delivery, error)
            except Exception as error:  # a defect: keep the message with the reason, continue with the next
                log.exception("handler failed", queue=self._queue.name, type=envelope.type)
                await self._refusals.refuse(delivery, HandlerFailed(), defect=f"{type(error).__name__}: {error}")
            else:
                if reply is not None:
                    await send_reply(self._publisher, envelope, reply, by_default_exchange=self._by_default_exchange)

    def _check(self, delivery: Delivery) -> None:
        self._refusals.check(delivery)
        self._clients.check_sender(delivery)

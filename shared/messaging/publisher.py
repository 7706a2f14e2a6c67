"""Publishes messages so that none can be lost unseen: persistent, confirmed, mandatory where somebody must get it."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractRobustChannel, AbstractRobustConnection, DeliveryMode

from batchyard_contracts import topology
from batchyard_contracts.message import CONTENT_TYPE, MAX_MESSAGE_BYTES, Message
from shared.messaging.connection import connect
from shared.observability.telemetry import traceparent
from shared.runtime.errors import PublishFailed, Rejected

TIMEOUT_S = 30.0
WINDOW = 200
_MAY_BE_UNROUTABLE = {topology.EVENTS, ""}
"""Events that nobody subscribed to, and replies to a client that has gone."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out. The default exchange (`""`) routes to the queue named by the key: replies."""

    exchange: str
    routing_key: str
    type: str
    body: bytes
    correlation_id: str | None = None
    reply_to: str | None = None
    traceparent: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    persistent: bool = True


def outgoing(
    exchange: str,
    message: Message,
    *,
    routing_key: str | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> Outgoing:
    """Put a message of the contracts into its envelope."""
    return Outgoing(
        exchange,
        routing_key or message.routing_key(),
        message.type,
        message.encode(),
        correlation_id=correlation_id,
        traceparent=traceparent,
    )


class Publisher:
    """A connection that only publishes: a broker that blocks publishers must never stop acknowledgements."""

    def __init__(self, app_id: str, connection: AbstractRobustConnection, channel: AbstractRobustChannel) -> None:
        self._app_id = app_id
        self._connection = connection
        self._channel = channel
        self._exchanges: dict[str, AbstractExchange] = {}

    @classmethod
    async def open(cls, url: str, app_id: str) -> "Publisher":
        """Connect and declare the topology."""
        connection = await connect(url, f"{app_id}-publish")
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            publisher = cls(app_id, connection, channel)
            for name in topology.EXCHANGES:
                publisher._exchanges[name] = await channel.get_exchange(name, ensure=False)
        except BaseException:
            await connection.close()
            raise
        publisher._exchanges[""] = channel.default_exchange
        return publisher

    @property
    def connection(self) -> AbstractRobustConnection:
        """For declaring topology."""
        return self._connection

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return when the broker has taken all of them; they leave in the given order.

        Raises `PublishFailed` when it did not take one (some of the others may have been taken), and `Rejected` when
        a body is larger than any consumer would accept (a dead letter may be: its size may be what is wrong with it).
        """
        for message in messages:
            if len(message.body) > MAX_MESSAGE_BYTES and message.exchange != topology.DEAD:
                raise Rejected(
                    f"A {message.type} of {len(message.body)} bytes is over {MAX_MESSAGE_BYTES}: send less at once."
                )
        for start in range(0, len(messages), WINDOW):
            window = messages[start : start + WINDOW]
            results = await asyncio.gather(*map(self._publish, window), return_exceptions=True)
            for message, result in zip(window, results, strict=True):
                if isinstance(result, asyncio.CancelledError) and not _cancelling():
                    raise PublishFailed(f"The connection was lost while publishing {message.type}.") from result
                if isinstance(result, Exception):
                    raise PublishFailed(
                        f"RabbitMQ did not take {message.type} for {message.exchange}/{message.routing_key}: "
                        f"{type(result).__name__} {result}"
                    ) from result
                if isinstance(result, BaseException):
                    raise result

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _publish(self, message: Outgoing) -> None:
        headers = dict(message.headers)
        if trace := message.traceparent or traceparent():
            headers["traceparent"] = trace
        await self._exchanges[message.exchange].publish(
            aio_pika.Message(
                message.body,
                content_type=CONTENT_TYPE,
                delivery_mode=DeliveryMode.PERSISTENT if message.persistent else DeliveryMode.NOT_PERSISTENT,
                message_id=uuid.uuid4().hex,
                type=message.type,
                app_id=self._app_id,
                correlation_id=message.correlation_id,
                reply_to=message.reply_to,
                timestamp=datetime.now(UTC),
                headers=dict(headers),
            ),
            message.routing_key,
            mandatory=message.exchange not in _MAY_BE_UNROUTABLE,
            timeout=TIMEOUT_S,
        )


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""Publishes messages reliably: persistent, with publisher confirms, mandatory where a queue must be bound."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

import aiormq
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection, DeliveryMode, HeadersType
from aio_pika.exceptions import ChannelInvalidStateError, DeliveryError, PublishError
from pamqp.commands import Basic

from batchyard_contracts import topology
from batchyard_contracts.message import BUNDLE_CONTENT_TYPE, CONTENT_TYPE, MAX_MESSAGE_BYTES, Message
from shared.messaging import bundles
from shared.messaging.connection import connect, open_channel
from shared.observability.telemetry import traceparent
from shared.runtime.errors import MessageRejected, PublishFailed, PublishRefused

TIMEOUT_S = 30.0
"""Longest wait for a publisher confirm, in seconds."""
WINDOW = 200
"""Number of messages published before their confirms are awaited."""
_SMALL_BYTES = 16 * 1024
"""Size of a body up to which messages are written together. A window of each call may wait in memory."""
_REFUSED_PAUSES_S = (0.1, 0.4, 1.0)
"""Pauses in seconds before a message that the broker refused is sent again: a queue may be between two leaders."""
MAX_SHORT_BYTES = 255
"""Largest size of a short string of AMQP, such as a routing key or a correlation id."""
_SHORT_PROPERTIES = ("exchange", "routing_key", "type", "correlation_id", "reply_to")
_MAY_BE_UNROUTABLE = {topology.EVENTS, ""}
"""Exchanges whose messages may be unroutable: events without a subscriber, and replies to a client that has gone."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Message to publish. The default exchange (`""`) routes to the queue that the routing key names (for replies)."""

    exchange: str
    routing_key: str
    type: str
    body: bytes
    correlation_id: str | None = None
    reply_to: str | None = None
    traceparent: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    persistent: bool = True
    group: int | None = None
    """On `batchyard.work`: the group of messages to one queue that may leave as bundles; None: it travels alone."""
    content_type: str = CONTENT_TYPE
    needs_receiver: bool = False
    """True: the message is refused if no queue takes it, even if it is an event or a reply."""


def outgoing(
    exchange: str,
    message: Message,
    *,
    routing_key: str | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> OutgoingMessage:
    """Return a message of the contracts with its exchange, routing key and properties."""
    return OutgoingMessage(
        exchange,
        routing_key or message.routing_key(),
        message.type,
        message.encode(),
        correlation_id=correlation_id,
        traceparent=traceparent,
    )


def check_sendable(message: OutgoingMessage) -> None:
    """Raise `MessageRejected` if the message can never be sent: its body is larger than consumers accept, or AMQP has
    no form for a property. Dead letters have no limit of size, which may be the reason for them."""
    if len(message.body) > MAX_MESSAGE_BYTES and message.exchange != topology.DEAD:
        raise MessageRejected(
            f"A {message.type} of {len(message.body)} bytes is over the limit of {MAX_MESSAGE_BYTES}: split it."
        )
    for name in _SHORT_PROPERTIES:
        text = getattr(message, name)
        if text and not _is_short(text):
            raise MessageRejected(
                f"The {name} of a message has at most {MAX_SHORT_BYTES} bytes in UTF-8: {text[:50]!a}…"
            )
    for name, text in (*message.headers.items(), ("traceparent", message.traceparent or "")):
        if not (_is_short(name) and _is_text(text)):
            raise MessageRejected(f"The header {name[:50]!a} of a {message.type} cannot be sent in UTF-8.")


def _is_short(text: str) -> bool:
    """Tell whether AMQP can send a text as a short string."""
    return len(text) <= MAX_SHORT_BYTES if text.isascii() else _is_text(text) and len(text.encode()) <= MAX_SHORT_BYTES


def _is_text(text: str) -> bool:
    """Tell whether a text can be written in UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def bundled(messages: Sequence[OutgoingMessage]) -> list[OutgoingMessage]:
    """Return the messages to send: bundles of those that may travel together, and the others as they are."""
    if len(messages) < 2:
        return list(messages)
    own = traceparent()
    return [
        members[0] if len(members) == 1 else _bundle(members, own)
        for members in bundles.group([(_bundle_key(one), len(one.body), one) for one in messages])
    ]


def _bundle_key(message: OutgoingMessage) -> tuple[object, ...] | None:
    """Return what messages of one bundle have in common; None for a message that travels alone."""
    if message.exchange == topology.WORK:
        may_be_bundled = message.group is not None
    else:
        may_be_bundled = message.exchange == topology.FLOW and message.type in topology.BUNDLED_TYPES
    is_ordinary = message.content_type == CONTENT_TYPE and not (message.reply_to or message.headers)
    if not (may_be_bundled and is_ordinary) or b"\n" in message.body:
        return None
    return message.exchange, message.routing_key, message.type, message.persistent, message.group


def _bundle(members: Sequence[OutgoingMessage], own_trace: str | None) -> OutgoingMessage:
    """Return a bundle. It has the correlation id of its messages if they have the same one."""
    body, headers = bundles.join([(one.body, one.traceparent or own_trace) for one in members])
    correlation_ids = {one.correlation_id for one in members}
    return replace(
        members[0],
        body=body,
        headers=headers,
        traceparent=None,
        correlation_id=correlation_ids.pop() if len(correlation_ids) == 1 else None,
        content_type=BUNDLE_CONTENT_TYPE,
    )


class PublishChannel:
    """Channel of publishers with confirms. It is opened when it is first needed, and restored after a loss."""

    def __init__(self, connection: AbstractRobustConnection) -> None:
        self.connection = connection
        self._channel: AbstractRobustChannel | None = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    def replace(self, channel: AbstractRobustChannel) -> None:
        """Use a new channel from now on, if this one is the present one; confirms of the old one still arrive.

        A channel that meets a queue while the node of its leader dies may refuse all further messages to that queue.
        """
        if self._channel is channel:
            closing = asyncio.create_task(_close_later(channel))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._channel = None

    async def get(self) -> AbstractRobustChannel:
        """Return the channel; the first call waits for the connection, up to `TIMEOUT_S`."""
        return self._channel or await self._open()

    async def _open(self) -> AbstractRobustChannel:
        async with self._opening, asyncio.timeout(TIMEOUT_S):
            if self._channel is None:
                self._channel = await open_channel(self.connection, on_return_raises=True)
        return self._channel


class Publisher:
    """Connection for publishing only, so that a broker that blocks publishers does not block acknowledgements."""

    def __init__(self, app_id: str, channel: PublishChannel, check: Callable[[], None] = lambda: None) -> None:
        self._app_id = app_id
        self._channel = channel
        self._check = check

    @classmethod
    async def open(cls, url: str, app_id: str, *, wait: bool = True) -> "Publisher":
        """Connect, or with `wait=False` let the first message wait for the connection."""
        return cls(app_id, PublishChannel(await connect(url, f"{app_id}-publish", wait=wait)))

    @property
    def connection(self) -> AbstractRobustConnection:
        """The connection, for declaring queues and for readiness checks."""
        return self._channel.connection

    def checked(self, check: Callable[[], None]) -> "Publisher":
        """Return a publisher on the same channel that publishes nothing when `check` raises."""
        return Publisher(self._app_id, self._channel, check)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Publish messages; return when the broker has confirmed all of them.

        Messages of one type and routing key keep their order. Those that may travel in bundles do. Raises
        `PublishFailed` if one was not confirmed (others may have been published; `PublishRefused` tells that the broker
        refused one), `MessageRejected` if one can never be sent, see `check_sendable`; then none is, unless only the
        encoder finds it.
        """
        for message in messages:
            check_sendable(message)
        to_send = bundled(messages)
        for start in range(0, len(to_send), WINDOW):
            self._check()
            window = to_send[start : start + WINDOW]
            results = await asyncio.gather(*map(self._publish, window), return_exceptions=True)
            for message, result in zip(window, results, strict=True):
                if isinstance(result, asyncio.CancelledError) and not _cancelling():
                    raise PublishFailed(f"The connection was lost while publishing {message.type}.") from result
                if isinstance(result, TypeError | ValueError):  # of the encoder; no later attempt can succeed
                    raise MessageRejected(f"A {message.type} cannot be encoded for AMQP: {result!r}"[:500]) from result
                if isinstance(result, Exception):
                    failure = PublishRefused if isinstance(result, DeliveryError) else PublishFailed
                    raise failure(
                        f"RabbitMQ did not accept {message.type} for {message.exchange}/{message.routing_key}: "
                        f"{type(result).__name__} {result}"
                    ) from result
                if isinstance(result, BaseException):
                    raise result

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def _publish(self, message: OutgoingMessage) -> None:
        headers: HeadersType = dict(message.headers)
        is_bundle = message.content_type == BUNDLE_CONTENT_TYPE  # whose headers have the traces of its messages
        if not is_bundle and (trace := message.traceparent or traceparent()):
            headers["traceparent"] = trace
        properties = Basic.Properties(
            content_type=message.content_type,
            headers=headers,
            delivery_mode=(DeliveryMode.PERSISTENT if message.persistent else DeliveryMode.NOT_PERSISTENT).value,
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            message_id=uuid.uuid4().hex,
            timestamp=datetime.now(UTC),
            message_type=message.type,
            app_id=self._app_id,
        )
        is_mandatory = message.needs_receiver or message.exchange not in _MAY_BE_UNROUTABLE
        for pause_s in (*_REFUSED_PAUSES_S, None):
            channel = await self._channel.get()
            try:
                await _send(channel, message, properties, is_mandatory=is_mandatory)
            except DeliveryError as error:
                if pause_s is None or isinstance(error, PublishError):  # no queue takes it
                    raise
                self._channel.replace(channel)
                await asyncio.sleep(pause_s)
            else:
                return


async def _send(
    channel: AbstractRobustChannel, message: OutgoingMessage, properties: Basic.Properties, *, is_mandatory: bool
) -> None:
    """Publish a message and wait for its confirm, but wait for the socket only if the message is large.

    aio_pika waits for the socket each time, so that every message would be a write of its own.
    """
    if channel.is_closed:
        raise ChannelInvalidStateError("The channel is closed.")
    underlay = cast("aiormq.Channel", await channel.get_underlay_channel())
    await underlay.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=properties,
        mandatory=is_mandatory,
        timeout=TIMEOUT_S,
        wait=len(message.body) > _SMALL_BYTES,
    )


async def _close_later(channel: AbstractRobustChannel) -> None:
    await asyncio.sleep(TIMEOUT_S)
    await channel.close()


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

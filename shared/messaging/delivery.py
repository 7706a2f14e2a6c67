"""Received messages: their envelope, decoding and acknowledgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from pydantic import ValidationError

from batchyard_contracts.message import CONTENT_TYPE, MAX_MESSAGE_BYTES, Envelope
from batchyard_contracts.validation_words import sentence
from shared.messaging.frame_decoder import FAULT_HEADER, PropertyFault
from shared.runtime.errors import MessageRejected

CHANNEL_LOST = (AMQPError, ChannelInvalidStateError)
"""Errors that the AMQP library raises for a closed channel."""
_TEXT_PROPERTIES = ("type", "message_id", "correlation_id", "reply_to", "app_id", "user_id")
_COPYING_HEADERS = {"CC", "BCC"}
"""Headers that let the broker copy a message to routing keys for which older versions check no permission."""
_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "compress", "br", "zstd"}
_MAX_REASON_LENGTH = 300
log = structlog.get_logger()
T_co = TypeVar("T_co", covariant=True)


class MessageDecoder(Protocol[T_co]):
    """Decoder of one message type: its model, or a class that decodes only the fields that are needed."""

    @property
    def type(self) -> str:
        """The AMQP property `type` of the messages."""
        ...

    def decode(self, body: bytes) -> T_co:
        """Decode a body; raises `pydantic.ValidationError`, or `MessageRejected` if it is not to be believed."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """Body and envelope of a received message."""

    body: bytes
    envelope: Envelope
    fault: str | None = None
    """Reason why the properties or the bundle cannot be read, with which the message is rejected."""
    content_type: str = CONTENT_TYPE
    exchange: str = ""
    """Exchange to which its sender published it, as the broker says; "": directly to the queue."""
    routing_key: str = ""


def to_delivery(message: AbstractIncomingMessage) -> Delivery:
    """Convert a message of the AMQP library. The routing key stands in for a missing `type` property."""
    fault = message.headers.get(FAULT_HEADER)
    return Delivery(
        message.body,
        Envelope(
            type=message.type or message.routing_key or "",
            message_id=message.message_id or "",
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            app_id=message.app_id,
            user_id=message.user_id,
            timestamp=message.timestamp,
            redelivered=bool(message.redelivered),
            headers=dict(message.headers),
        ),
        fault if isinstance(fault, PropertyFault) else _fault_of(message),
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
    )


async def acknowledge(message: AbstractIncomingMessage, *, multiple: bool = False) -> None:
    """Acknowledge a message, and all before it on its channel if `multiple`.

    A closed channel is no error: the broker redelivers the message, and handlers are idempotent.
    """
    try:
        await message.ack(multiple=multiple)
    except CHANNEL_LOST as error:
        log.info("acknowledgement lost", type=message.type, error=type(error).__name__)


async def give_back(message: AbstractIncomingMessage) -> None:
    """Return a message to its queue. A closed channel is no error: the broker redelivers the message anyway."""
    try:
        await message.nack(requeue=True)
    except CHANNEL_LOST as error:
        log.info("message returned by the broker", type=message.type, error=type(error).__name__)


def is_stale(message: AbstractIncomingMessage) -> bool:
    """Tell whether a message's channel is closed, so that the broker redelivers the message."""
    try:
        return bool(message.channel.is_closed)
    except CHANNEL_LOST:
        return True


def decode(delivery: Delivery, decoders: Mapping[str, MessageDecoder[T_co]]) -> T_co:
    """Decode the body by its message type.

    Raises `MessageRejected` for properties that cannot be read, an unknown type and an invalid body.
    """
    if delivery.fault is not None:
        raise MessageRejected(delivery.fault)
    decoder = decoders.get(delivery.envelope.type)
    if decoder is None:
        raise MessageRejected(
            f"Unknown message type {delivery.envelope.type!r}; this queue takes: {', '.join(sorted(decoders))}. "
            "Set the AMQP property `type` to one of them."
        )
    if len(delivery.body) > MAX_MESSAGE_BYTES:
        raise MessageRejected(
            f"The body has {len(delivery.body)} bytes; at most {MAX_MESSAGE_BYTES} are allowed. Split the message."
        )
    try:
        return decoder.decode(delivery.body)
    except ValidationError as error:
        raise MessageRejected(f"Not a valid {delivery.envelope.type}: {explain(error)}") from error
    except MessageRejected:
        raise
    except Exception as error:  # a defect, which no other message must pay for
        log.exception("decoder failed", type=delivery.envelope.type)
        reason = _cut(f"{type(error).__name__}: {error}", _MAX_REASON_LENGTH)
        raise MessageRejected(f"Not a readable {delivery.envelope.type}: {reason}") from error


def explain(error: ValidationError, max_errors: int = 3) -> str:
    """Describe validation errors in one line: the first `max_errors` places, and what is wrong with each.

    They are cut, since they may quote the sender's own text, such as the name of an unknown field.
    """
    found = error.errors(include_url=False, include_input=False)
    parts = [_cut(sentence(each), _MAX_REASON_LENGTH) for each in found[:max_errors]]
    if len(found) > max_errors:
        parts.append(f"and {len(found) - max_errors} more")
    return "; ".join(parts)


def _fault_of(message: AbstractIncomingMessage) -> str | None:
    """Return the reason why a message is rejected for a property; None: it has no such property."""
    if copied := _COPYING_HEADERS & message.headers.keys():
        return f"The AMQP header {copied.pop()} is not allowed: publish once under each routing key."
    if (coding := (message.content_encoding or "").lower()) in _COMPRESSIONS:
        return f"The AMQP property `content_encoding` is {coding!r}. Send the body as it is, as JSON in UTF-8."
    for name in _TEXT_PROPERTIES:
        if "\x00" in (getattr(message, name) or ""):
            return f"The AMQP property `{name}` contains a NUL character."
    return None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "…"

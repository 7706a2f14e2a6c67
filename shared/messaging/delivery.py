"""A message as it was received."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from pydantic import ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES, Envelope
from shared.runtime.errors import Rejected

LOST = (AMQPError, ChannelInvalidStateError)
"""What the AMQP library raises for a channel that is gone."""
log = structlog.get_logger()
T_co = TypeVar("T_co", covariant=True)


class Kind(Protocol[T_co]):
    """How messages of one type are read: by their model, or by a class that takes from them only what it needs."""

    @property
    def type(self) -> str:
        """The AMQP property that names it."""
        ...

    def decode(self, body: bytes) -> T_co:
        """Read a body; raises `pydantic.ValidationError`."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """A body in its envelope."""

    body: bytes
    envelope: Envelope


def received(message: AbstractIncomingMessage) -> Delivery:
    """Take what the AMQP library delivers. Of a sender that cannot set `type`, the routing key is taken for it."""
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
    )


async def acknowledge(message: AbstractIncomingMessage, *, multiple: bool = False) -> None:
    """Acknowledge a message, and all before it on its channel if `multiple`.

    On a channel that is gone this cannot be: the broker delivers again, and handlers are idempotent.
    """
    try:
        await message.ack(multiple=multiple)
    except LOST as error:
        log.info("acknowledgement lost", type=message.type, error=type(error).__name__)


def is_stale(message: AbstractIncomingMessage) -> bool:
    """Whether the channel that brought a message is gone, so that the broker delivers it again."""
    try:
        return bool(message.channel.is_closed)
    except LOST:
        return True


def decode(delivery: Delivery, kinds: Mapping[str, Kind[T_co]]) -> T_co:
    """Read the body as what its type says; raises `Rejected` when that cannot be."""
    kind = kinds.get(delivery.envelope.type)
    if kind is None:
        raise Rejected(
            f"Unknown message type {delivery.envelope.type!r} here; known: {', '.join(sorted(kinds))}. "
            "Set the AMQP property `type` to one of them."
        )
    if len(delivery.body) > MAX_MESSAGE_BYTES:
        raise Rejected(
            f"The body has {len(delivery.body)} bytes; at most {MAX_MESSAGE_BYTES} are read. Send less at once."
        )
    try:
        return kind.decode(delivery.body)
    except ValidationError as error:
        raise Rejected(f"Not a valid {delivery.envelope.type}: {explain(error)}") from error


def explain(error: ValidationError, most: int = 3) -> str:
    """Say in one line what is wrong with a body: where, and why."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in found[:most]]
    if len(found) > most:
        parts.append(f"and {len(found) - most} more")
    return "; ".join(parts)

"""Reads the messages of dead-letter queues, and makes the messages that replace them.

A message that the broker dead-lettered has the headers of its sender, who may have put anything into them. Nothing
that is read here raises for that.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import aio_pika
import pamqp.encode
from aio_pika.abc import AbstractIncomingMessage, DeliveryMode, HeadersType

from shared.messaging.dead_letters import APP, ORIGINAL_ID, QUEUE, REASON, SENT_AT, USER
from shared.messaging.delivery import to_delivery
from shared.messaging.frame_decoder import FAULT_HEADER

_OURS = (REASON, QUEUE, ORIGINAL_ID, USER, APP, SENT_AT)
_BROKERS = ("x-death", "x-first-death", "x-last-death", "x-delivery", "x-acquired")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Message that could not be handled."""

    id: str
    queue: str
    type: str
    reason: str
    at: datetime | None
    """Time at which it became a dead letter."""
    body: bytes
    exchange: str | None = None
    routing_key: str | None = None


def read(queue: str, message: AbstractIncomingMessage) -> DeadLetter:
    """Return the dead letter that a message of the dead-letter queue of `queue` is."""
    death = _death(message)
    reason = _text(message.headers.get(REASON))
    time, keys = death.get("time"), death.get("routing-keys")
    died_at = time if isinstance(time, datetime) else None
    return DeadLetter(
        id=message.message_id or hashlib.blake2b(message.body, digest_size=16).hexdigest(),
        queue=queue,
        type=message.type or "",
        reason=reason or to_delivery(message).fault or f"RabbitMQ dead-lettered it: {_text(death.get('reason'))}",
        at=died_at if reason is None else message.timestamp,
        body=message.body,
        exchange=_text(death.get("exchange")),
        routing_key=_text(keys[0]) if isinstance(keys, list) and keys else None,
    )


def user_of(message: AbstractIncomingMessage) -> str | None:
    """Return the broker's user who sent the original message; None: unknown."""
    return _text(message.headers.get(USER)) or message.user_id


def returns_of(message: AbstractIncomingMessage) -> int:
    """Return how often the message was returned to its queue, as the broker counts it."""
    count = message.headers.get("x-delivery-count")
    return count if isinstance(count, int) else 0


def original_of(message: AbstractIncomingMessage, user: str | None) -> aio_pika.Message:
    """Return the message as it was before it became a dead letter, without reply_to: its sender no longer waits.

    What could not be decoded, or cannot be sent again, is missing from it.
    """
    was_rejected = REASON in message.headers
    headers = {k: v for k, v in message.headers.items() if k not in _OURS and not k.startswith(_BROKERS)}
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=_text(message.headers.get(ORIGINAL_ID)) or message.message_id,
        type=message.type,
        app_id=_text(message.headers.get(APP)) or (None if was_rejected else message.app_id),
        user_id=user,
        correlation_id=message.correlation_id,
        timestamp=_sent_at(message) if was_rejected else message.timestamp,
        headers=_encodable(headers),
    )


def copy_of(message: AbstractIncomingMessage) -> aio_pika.Message:
    """Return a copy of the dead letter, without the broker's count of returns."""
    headers = {k: v for k, v in message.headers.items() if not k.startswith("x-delivery")}
    fault = to_delivery(message).fault
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
        headers=({REASON: fault} if fault else {})
        | _encodable(headers)
        | ({USER: message.user_id} if message.user_id else {}),
    )


def _death(message: AbstractIncomingMessage) -> Mapping[str, object]:
    """Return what the broker recorded about the last time at which it dead-lettered the message."""
    deaths = message.headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths else None
    return death if isinstance(death, dict) else {"reason": "unknown"}


def _sent_at(message: AbstractIncomingMessage) -> datetime | None:
    try:
        return datetime.fromisoformat(_text(message.headers.get(SENT_AT)) or "")
    except ValueError:
        return None


def _encodable(headers: HeadersType) -> HeadersType:
    """Return the headers that can be sent; the decoder accepts more than the encoder."""
    kept: HeadersType = {}
    for name, value in headers.items():
        try:
            pamqp.encode.field_table({name: value})
        except Exception:  # noqa: BLE001, S112  no error of a sender's header matters
            continue
        kept[name] = value
    kept.pop(FAULT_HEADER, None)
    return kept


def _text(value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None

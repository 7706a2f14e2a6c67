"""Copies of clients' messages on the slow path, with what only their senders may set kept in headers."""

from dataclasses import replace
from datetime import datetime

from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.topology import ASIDE, COMMANDS, FLOW
from shared.messaging.dead_letters import APP, ORIGINAL_ID, SENT_AT, USER, sender_headers
from shared.messaging.delivery import Delivery, to_delivery
from shared.messaging.publisher import OutgoingMessage

MOVER, NUMBER = "x-batchyard-mover", "x-batchyard-moved"
"""Headers: the consumer that moved a message, and how many it had moved by then."""


def aside_copy(delivery: Delivery, mover: str, number: int) -> OutgoingMessage:
    """Return the message that takes the place of a command on the slow path, the one of this `number` of its mover."""
    envelope = delivery.envelope
    return OutgoingMessage(
        FLOW,
        ASIDE + envelope.type,
        envelope.type,
        delivery.body,
        correlation_id=envelope.correlation_id,
        reply_to=envelope.reply_to,
        traceparent=envelope.traceparent,
        headers=sender_headers(envelope) | {MOVER: mover, NUMBER: str(number)},
        content_type=delivery.content_type,
    )


def number_of_mover(message: AbstractIncomingMessage, mover: str) -> int | None:
    """Return the number of a message on the slow path, or None if another consumer has moved it."""
    return int(str(message.headers[NUMBER])) if message.headers.get(MOVER) == mover else None


def original_delivery(message: AbstractIncomingMessage) -> Delivery:
    """Return the command that a message of the slow path takes the place of. Only ingest sends such messages."""
    copy = to_delivery(message)
    headers = {name: value for name, value in copy.envelope.headers.items() if isinstance(value, str)}
    sent_at = headers.get(SENT_AT)
    envelope = replace(
        copy.envelope,
        message_id=headers.get(ORIGINAL_ID, ""),
        user_id=headers.get(USER),
        app_id=headers.get(APP),
        timestamp=datetime.fromisoformat(sent_at) if sent_at else None,
    )
    return replace(copy, envelope=envelope, exchange=COMMANDS, routing_key=envelope.type)

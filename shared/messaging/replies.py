"""Sends replies to clients and services, once: a sender that has gone, or whose queue is full, delays nobody."""

import asyncio
import re

import structlog

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.topology import REPLIES, REPLY_PREFIX
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import MessageRejected, PublishFailed

log = structlog.get_logger()
REPLY_TIMEOUT_S = 5.0
_NAMED = re.compile(re.escape(REPLY_PREFIX) + r"(?P<asker>[A-Za-z0-9_-]+)\.[0-9a-f]+")
_DIRECT = "amq.rabbitmq.reply-to."
_FORMER = re.compile(rf"({re.escape(_DIRECT)}|amq\.gen-|amq_).+|{re.escape(REPLY_PREFIX)}[^.]+")
"""Names of the queues to which replies went by the default exchange: those of direct reply-to, those that the broker
names, and those with Batchyard's prefix. Senders of an older version have them. Replies go to no other queue, so that a
client cannot make a service write into one."""


async def send_reply(
    publisher: Publisher, envelope: Envelope, reply: Message, *, by_default_exchange: bool = True
) -> bool:
    """Reply to a message; False if its sender asked for none or the broker found no queue for it.

    `by_default_exchange`: reply also to the senders of an older version, which takes the right to write to any queue.
    RabbitMQ does not tell whether the receiver of a direct reply is still there.
    """
    reply_to = envelope.reply_to
    if not reply_to:
        return False
    exchange = _exchange(envelope, reply_to, by_default_exchange=by_default_exchange)
    if exchange is None:
        log.debug("no reply sent: not a reply queue", reply_to=reply_to[:100], type=reply.type)
        return False
    message = OutgoingMessage(
        exchange,
        reply_to,
        reply.type,
        reply.encode(),
        correlation_id=envelope.correlation_id or envelope.message_id,
        persistent=False,
        needs_receiver=not reply_to.startswith(_DIRECT),
    )
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await publisher.publish([message])
    except (PublishFailed, TimeoutError, MessageRejected) as error:
        log.debug("reply lost", type=reply.type, error=f"{type(error).__name__}: {error}"[:300])
        return False
    return True


def _exchange(envelope: Envelope, reply_to: str, *, by_default_exchange: bool) -> str | None:
    """Return the exchange by which a queue of replies is reached; None if it may not be.

    A client gets no reply into the queue of another owner.
    """
    if named := _NAMED.fullmatch(reply_to):
        return REPLIES if envelope.owner in {None, named["asker"]} else None
    return "" if by_default_exchange and _FORMER.fullmatch(reply_to) else None

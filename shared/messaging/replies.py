"""Sends replies to clients and services, once: a sender that has gone, or whose queue is full, delays nobody."""

import asyncio
import re

import structlog

from batchyard_contracts.message import Envelope, Message
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.runtime.errors import MessageRejected, PublishFailed

log = structlog.get_logger()
REPLY_TIMEOUT_S = 5.0
_DIRECT = "amq.rabbitmq.reply-to."
_REPLY_TO = re.compile(rf"({re.escape(_DIRECT)}|amq\.gen-|amq_|batchyard\.reply\.).+")
"""Names of reply queues: direct reply-to, broker-named, and those with Batchyard's prefix. Replies go to no other
queue, so that a client cannot make a service write into one."""


async def send_reply(publisher: Publisher, envelope: Envelope, reply: Message) -> bool:
    """Reply to a message; False if its sender asked for none or the broker found no queue for it.

    RabbitMQ does not tell whether the receiver of a direct reply is still there.
    """
    reply_to = envelope.reply_to
    if not reply_to:
        return False
    if not _REPLY_TO.fullmatch(reply_to):
        log.debug("no reply sent: not a reply queue", reply_to=reply_to[:100], type=reply.type)
        return False
    message = OutgoingMessage(
        "",
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

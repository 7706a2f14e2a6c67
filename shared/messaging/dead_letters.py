"""Publishes a message that could not be handled to its dead-letter queue, with the reason."""

import structlog

from batchyard_contracts import topology
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.observability import metrics

REASON = "x-batchyard-reason"
QUEUE = "x-batchyard-queue"
ORIGINAL_ID = "x-batchyard-message-id"
USER = "x-batchyard-user"
APP = "x-batchyard-app"
SENT_AT = "x-batchyard-sent-at"
_MAX_REASON = 1000
_MAX_KIND = 100
log = structlog.get_logger()
_dead_letters = metrics.counter("batchyard.messages.dead_lettered", "Messages that became dead letters, by queue.")


async def dead_letter(publisher: Publisher, queue: topology.Queue, delivery: Delivery, reason: str) -> None:
    """Publish the message to `<queue>.dead`; the caller acknowledges the original afterwards.

    Only logs the message if the queue has no dead-letter queue. The log has the kind of the reason alone, because the
    rest may quote the data of an owner; the dead letter has it in full.
    """
    envelope = delivery.envelope
    kind = reason.partition(":")[0][:_MAX_KIND]
    log.error("dead letter", queue=queue.name, type=envelope.type, message_id=envelope.message_id, reason=kind)
    _dead_letters.add(1, {"queue": queue.name})
    if queue.dead_queue() is None:
        return
    headers = {REASON: reason[:_MAX_REASON], QUEUE: queue.name, ORIGINAL_ID: envelope.message_id}
    sent_at = envelope.timestamp.isoformat() if envelope.timestamp else None
    known = ((USER, envelope.user_id), (APP, envelope.app_id), (SENT_AT, sent_at))
    headers |= {name: value for name, value in known if value}
    await publisher.publish(
        [
            OutgoingMessage(
                topology.DEAD,
                queue.name,
                envelope.type,
                delivery.body,
                correlation_id=envelope.correlation_id,
                traceparent=envelope.traceparent,
                headers=headers,
                content_type=delivery.content_type,
            )
        ]
    )

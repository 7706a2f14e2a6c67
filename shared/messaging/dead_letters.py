"""Sets a message aside with the reason why it could not be handled."""

import structlog

from batchyard_contracts import topology
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import Outgoing, Publisher

REASON = "x-batchyard-reason"
QUEUE = "x-batchyard-queue"
ORIGINAL_ID = "x-batchyard-message-id"
USER = "x-batchyard-user"
APP = "x-batchyard-app"
SENT_AT = "x-batchyard-sent-at"
_MOST = 1000
log = structlog.get_logger()


async def dead_letter(publisher: Publisher, queue: topology.Queue, delivery: Delivery, reason: str) -> None:
    """Publish the message to `<queue>.dead`; the caller acknowledges the original afterwards."""
    envelope = delivery.envelope
    log.error("dead letter", queue=queue.name, type=envelope.type, message_id=envelope.message_id, reason=reason)
    if queue.dead_queue() is None:
        return
    headers = {REASON: reason[:_MOST], QUEUE: queue.name, ORIGINAL_ID: envelope.message_id}
    sent_at = envelope.timestamp.isoformat() if envelope.timestamp else None
    known = ((USER, envelope.user_id), (APP, envelope.app_id), (SENT_AT, sent_at))
    headers |= {name: value for name, value in known if value}
    await publisher.publish(
        [
            Outgoing(
                topology.DEAD,
                queue.name,
                envelope.type,
                delivery.body,
                correlation_id=envelope.correlation_id,
                traceparent=envelope.traceparent,
                headers=headers,
            )
        ]
    )

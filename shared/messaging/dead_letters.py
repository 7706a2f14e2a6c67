"""Publishes a message that could not be handled to its dead-letter queue, with the reason."""

from collections.abc import Callable

import structlog

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.sender_quota import SenderQuota
from shared.observability import metrics
from shared.runtime.transient import retry_transient

REASON = "x-batchyard-reason"
QUEUE = "x-batchyard-queue"
ORIGINAL_ID = "x-batchyard-message-id"
USER = "x-batchyard-user"
APP = "x-batchyard-app"
SENT_AT = "x-batchyard-sent-at"
_MAX_REASON = 1000
_MAX_KIND = 100
MAX_LINES, LINES_PERIOD_S = 100, 60.0
"""Lines of the log about the dead letters of one queue, in a period."""
log = structlog.get_logger()
_dead_letters = metrics.counter("batchyard.messages.dead_lettered", "Messages that became dead letters, by queue.")


class DeadLetters:
    """Publisher of the dead letters of a service. Its log has a bounded number of lines about each queue."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lines = SenderQuota(MAX_LINES, LINES_PERIOD_S)

    async def add(
        self, queue: topology.Queue, delivery: Delivery, reason: str, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        """Publish a message to `<queue>.dead`, if there is one; the caller acknowledges the original afterwards.

        Waits for the broker, and calls `on_wait` before each pause. The log has the kind of the reason alone, because
        the rest may quote the data of an owner; the dead letter has it in full.
        """
        envelope = delivery.envelope
        if queue.dead_queue() is not None:
            letter = _letter(queue, delivery, reason)
            await retry_transient(lambda: self._publisher.publish([letter]), "dead letters", on_wait)
        _dead_letters.add(1, {"queue": queue.name})
        if self._lines.take(queue.name):
            kind = reason.partition(":")[0][:_MAX_KIND]
            log.error("dead letter", queue=queue.name, type=envelope.type, message_id=envelope.message_id, reason=kind)


def sender_headers(envelope: Envelope) -> dict[str, str]:
    """Return the properties that only the sender of a message may set, as headers of a copy of it."""
    sent_at = envelope.timestamp.isoformat() if envelope.timestamp else None
    known = ((USER, envelope.user_id), (APP, envelope.app_id), (SENT_AT, sent_at))
    return {ORIGINAL_ID: envelope.message_id} | {name: value for name, value in known if value}


def _letter(queue: topology.Queue, delivery: Delivery, reason: str) -> OutgoingMessage:
    envelope = delivery.envelope
    readable = reason[:_MAX_REASON].encode(errors="replace").decode()  # it may quote what cannot be sent in UTF-8
    headers = {REASON: readable, QUEUE: queue.name, **sender_headers(envelope)}
    return OutgoingMessage(
        topology.DEAD,
        queue.name,
        envelope.type,
        delivery.body,
        correlation_id=envelope.correlation_id,
        traceparent=envelope.traceparent,
        headers=headers,
        content_type=delivery.content_type,
    )

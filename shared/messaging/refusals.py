"""Refuses messages of one queue: tells their senders, and keeps as a dead letter what nobody could be told about.

Clients may send as many invalid messages as they like. So that no owner fills the dead letters, the log or the time of
a service, each sender (the user that the broker has verified) has quotas: of dead letters, of events, and of messages
that are read at all.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from batchyard_contracts.message import Message
from batchyard_contracts.topology import Queue
from batchyard_contracts.v1.queries import QueryFailed
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.delivery import Delivery
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.messaging.replies import send_reply
from shared.messaging.sender_quota import SenderQuota
from shared.observability import metrics
from shared.runtime.errors import HandlerFailed, MessageRejected, PublishRefused, SenderThrottled
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_MIB = 1024 * 1024
MAX_LETTERS, MAX_LETTER_BYTES, LETTERS_PERIOD_S = 100, 8 * _MIB, 360.0
"""Dead letters that one sender may cause in a period, on a queue that clients reach."""
MAX_INVALID, MAX_INVALID_BYTES, INVALID_PERIOD_S = 100, 8 * _MIB, 6.0
"""Invalid messages of one sender that are read, and events that say so, in a period. It is short: as many as a sender
may send in a minute would keep others waiting for seconds if they were read at once. Who goes on has a sixteenth
in the next period."""
LOG_PERIOD_S = 60.0
"""Shortest time in seconds between two lines of the log about refused messages of a queue."""
_refused = metrics.counter(
    "batchyard.messages.refused", "Messages that were refused, by queue and by what became of them."
)
Fate = Literal["told", "dead letter", "dropped"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Messages that say why a message was refused: the reply to its sender, and an event for those who subscribe."""

    reply: Message
    event: OutgoingMessage | None = None


InvalidMessageHandler = Callable[[Delivery, MessageRejected], Refusal]


def query_failed(_: Delivery, error: MessageRejected) -> Refusal:
    """Return the refusal of a query."""
    return Refusal(QueryFailed(code="query_refused", detail=str(error)))


class Refusals:
    """Refusals of the messages of one queue. `throttles`: a sender of too many invalid messages is not read for a
    while. `by_default_exchange`: see `send_reply`."""

    def __init__(
        self,
        publisher: Publisher,
        queue: Queue,
        describe: InvalidMessageHandler = query_failed,
        *,
        throttles: bool = False,
        by_default_exchange: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher, self._queue, self._describe, self._throttles = publisher, queue, describe, throttles
        self._by_default_exchange = by_default_exchange
        self._dead_letters = DeadLetters(publisher)
        self._letters = SenderQuota(MAX_LETTERS, LETTERS_PERIOD_S, size=MAX_LETTER_BYTES, clock=clock)
        self._invalid = SenderQuota(MAX_INVALID, INVALID_PERIOD_S, size=MAX_INVALID_BYTES, reduces=True, clock=clock)
        self._events = SenderQuota(MAX_INVALID, INVALID_PERIOD_S, reduces=True, clock=clock)
        self._clock = clock
        self._logged_at: float | None = None
        self._fates: Counter[Fate] = Counter()

    def check(self, delivery: Delivery) -> None:
        """Raise `SenderThrottled` if the sender has sent too many invalid messages, so that this one is not read."""
        wait_s = self._invalid.used_up_for_s(_sender_of(delivery)) if self._throttles else None
        if wait_s is not None:
            raise SenderThrottled(wait_s)

    def drop_unread(self, sender: str, message_type: str) -> bool:
        """Drop a message that asks for no reply, if it would not be read and nobody would be told; return whether.

        It takes far less time than to refuse it, so that a flood of them is read as fast as it comes.
        """
        quotas = (self._invalid, self._events, self._letters)
        if not self._throttles or any(quota.used_up_for_s(sender) is None for quota in quotas):
            return False
        self._record(sender, message_type, SenderThrottled.__name__, "dropped")
        return True

    async def refuse(self, delivery: Delivery, error: MessageRejected, defect: str | None = None) -> None:
        """Tell that a message was refused. It becomes a dead letter if nobody could be told, or by a `defect`."""
        if not (error.is_retryable or defect):
            self._invalid.take(_sender_of(delivery), len(delivery.body))
        was_told = await self._tell(delivery, error)
        fate: Fate = "told"
        if defect or not was_told:
            fate = await self._keep(delivery, defect or str(error))
        self._record(_sender_of(delivery), delivery.envelope.type, type(error).__name__, fate)

    async def _tell(self, delivery: Delivery, error: MessageRejected) -> bool:
        if not delivery.envelope.reply_to and self._events.used_up_for_s(_sender_of(delivery)) is not None:
            return False
        try:
            refusal = self._describe(delivery, error)
        except Exception:  # a defect in it must not redeliver the message for ever
            log.exception("refusal failed", queue=self._queue.name, type=delivery.envelope.type)
            refusal = query_failed(delivery, HandlerFailed())
        was_told = await send_reply(
            self._publisher, delivery.envelope, refusal.reply, by_default_exchange=self._by_default_exchange
        )
        event = refusal.event
        if event is None or not self._events.take(_sender_of(delivery)):
            return was_told
        was_published = await retry_transient(lambda: self._publish(event), "events")
        return was_told or (was_published and delivery.fault is None)  # else the event may name another sender

    async def _publish(self, event: OutgoingMessage) -> bool:
        """Publish an event; False if nobody subscribes to it, or if it can never be sent."""
        try:
            await self._publisher.publish([replace(event, needs_receiver=True)])
        except (PublishRefused, MessageRejected):
            return False
        return True

    async def _keep(self, delivery: Delivery, reason: str) -> Fate:
        if self._queue.is_public and not self._letters.take(_sender_of(delivery), len(delivery.body)):
            return "dropped"
        if self._queue.dead_queue() is None:
            return "dropped"
        await self._dead_letters.add(self._queue, delivery, reason)
        return "dead letter"

    def _record(self, sender: str, message_type: str, error: str, fate: Fate) -> None:
        _refused.add(1, {"queue": self._queue.name, "fate": fate})
        self._fates[fate] += 1
        now = self._clock()
        if self._logged_at is not None and now < self._logged_at + LOG_PERIOD_S:
            return
        log.warning(
            "messages refused",
            queue=self._queue.name,
            type=message_type,
            sender=sender,
            error=error,
            **{name.replace(" ", "_"): count for name, count in self._fates.items()},
        )
        self._logged_at = now
        self._fates.clear()


def _sender_of(delivery: Delivery) -> str:
    return delivery.envelope.user_id or ""

"""Transactional outbox: messages that are committed with the change they tell of, and published afterwards.

Messages that a process cannot get confirmed, or leaves behind when it dies, are published later, in order, by any
process of the service. A message may therefore arrive twice. A message that can never be published is set aside with
the reason, and holds up no other.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import structlog

from batchyard_contracts.message import Message
from shared.messaging.publisher import OutgoingMessage, Publisher
from shared.observability import metrics
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries
from shared.runtime.errors import PublishRefused
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_SQL = load_queries("shared.postgres", "outbox.sql")
INTERVAL_S = 0.2
"""Longest time in seconds until a confirmed message is recorded as sent."""
DELIVERY_TIMEOUT_S = 5.0
"""Longest time in seconds that a change waits for an unavailable broker; its messages are then left to the relay."""
_BATCH_SIZE = 200
_RETRY_REFUSED_AFTER = timedelta(seconds=30)
_set_aside = metrics.counter("batchyard.outbox.set_aside", "Outbox messages that were set aside, by message type.")


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """Message to publish after a commit. A key identifies a fact: it is published once under this key."""

    exchange: str
    routing_key: str
    type: str
    body: bytes
    traceparent: str | None = None
    key: str | None = None
    id: int = 0
    """Place in the table, which is the order of messages; 0 until the message is inserted."""

    @classmethod
    def of(
        cls, exchange: str, message: Message, traceparent: str | None = None, key: str | None = None
    ) -> "OutboxMessage":
        """Return a message of the contracts for an exchange."""
        return cls(exchange, message.routing_key(), message.type, message.encode(), traceparent, key)

    def to_outgoing(self) -> OutgoingMessage:
        """Return the message as the publisher takes it."""
        return OutgoingMessage(self.exchange, self.routing_key, self.type, self.body, traceparent=self.traceparent)


def columns(messages: Sequence[OutboxMessage]) -> tuple[list[object], ...]:
    """Return exchanges, routing keys, types, bodies, traceparents and keys, for a statement that inserts messages."""
    return tuple([getattr(message, name) for message in messages] for name in OutboxMessage.__slots__[:-1])


def with_ids(messages: Sequence[OutboxMessage], ids: Sequence[int]) -> list[OutboxMessage]:
    """Return inserted messages with the ids that the database gave them."""
    return [replace(message, id=number) for message, number in zip(messages, ids, strict=True)]


class Outbox:
    """Publisher of committed messages: it publishes, waits for the confirms, and records the messages as sent."""

    def __init__(
        self, pool: Pool, publisher: Publisher, *, relay_interval_s: float = 1.0, max_backlog: int = 10_000
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._relay_interval_s = relay_interval_s
        self._max_backlog = max_backlog
        self._pending: deque[OutboxMessage] = deque(maxlen=max_backlog)  # dropped messages remain in the table
        self._confirmed: list[int] = []
        self._deferred: set[int] = set()
        self._backlog = 0
        self._next_relay_at = time.monotonic()
        self._next_record_at = 0.0
        self.wake = asyncio.Event()
        """Set when messages were enqueued."""
        self.is_working = False
        """True if the last relay reached both servers."""

    @property
    def is_full(self) -> bool:
        """True when so many messages wait for the broker that new ones have to be rejected."""
        return max(self._backlog, len(self._deferred)) >= self._max_backlog

    def enqueue(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish committed messages soon; return at once."""
        if messages:
            self._pending.extend(messages)
            self.wake.set()

    async def deliver(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish committed messages. Never raises: those that are not confirmed are left to the relay.

        While older messages wait, newer ones join them, so that a resume cannot overtake its pause.
        """
        ids = [message.id for message in messages]
        if self._deferred:
            self._deferred.update(ids)
            return
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self.send(messages)
        except Exception as error:  # noqa: BLE001  the relay tells what can never be sent from what has to wait
            self._deferred.update(ids)
            log.warning("messages left to the relay", messages=len(ids), error=f"{type(error).__name__}: {error}")
        else:
            if not self._confirmed:
                self._next_record_at = time.monotonic() + INTERVAL_S
            self._confirmed += ids

    async def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish messages, in the table or not; return once the broker has confirmed all of them."""
        await self._publisher.publish([message.to_outgoing() for message in messages])

    async def update(self) -> float | None:
        """Publish what is enqueued, record what is confirmed, and now and then relay; return 0 if more is waiting."""
        is_busy = bool(self._pending)
        await self._publish_pending()
        if not is_busy or time.monotonic() >= self._next_record_at:  # many messages take one statement
            await self._record_sent()
        if time.monotonic() < self._next_relay_at:
            return None
        try:
            has_more = await self._relay()
        except Exception:
            self.is_working = False
            raise
        self.is_working = True
        if has_more:
            return 0.0
        self._next_relay_at = time.monotonic() + self._relay_interval_s
        return None

    async def close(self) -> None:
        """Publish what is enqueued, and record what is confirmed. If that fails, messages are sent once more."""
        await self._publish_pending()
        try:
            await self._record_sent()
        except Exception as error:
            if not is_transient(error):
                raise

    async def delete_sent(self) -> None:
        """Delete messages with a key that were sent more than a week ago."""
        await self._pool.execute(_SQL["delete_sent"])

    async def _publish_pending(self) -> None:
        while self._pending:
            await self.deliver([self._pending.popleft() for _ in range(min(_BATCH_SIZE, len(self._pending)))])

    async def _record_sent(self) -> None:
        if not self._confirmed:
            return
        confirmed, self._confirmed = self._confirmed, []
        try:
            await self._pool.execute(_SQL["confirm"], confirmed)
        except Exception:
            self._confirmed += confirmed
            raise

    async def _relay(self) -> bool:
        """Publish some late messages in the order of their ids; return True if there may be more."""
        async with self._pool.acquire() as connection:
            rows, failure = list[asyncpg.Record](), None
            async with connection.transaction():
                if await connection.fetchval(_SQL["lock_relay"]):
                    rows = await connection.fetch(_SQL["late_messages"], list(self._deferred), _BATCH_SIZE)
                if rows:
                    failure = await self._relay_messages(connection, [OutboxMessage(**row) for row in rows])
            if self._deferred:
                waiting = await connection.fetch(_SQL["unsent_messages"], list(self._deferred))
                self._deferred.intersection_update({row["id"] for row in waiting})
            self._backlog = await connection.fetchval(_SQL["count_unsent"], self._max_backlog) if self._deferred else 0
        if failure is not None:
            raise failure
        if rows:
            log.info("messages relayed", messages=len(rows))
        return len(rows) == _BATCH_SIZE

    async def _relay_messages(
        self, connection: PooledConnection, messages: Sequence[OutboxMessage]
    ) -> Exception | None:
        """Publish messages and record them as sent; after a failure, one by one, up to the one that meets no broker.

        Return the error that keeps the rest waiting, if there is one.
        """
        try:
            await self.send(messages)
        except Exception as error:  # noqa: BLE001  one of them is at fault, or the broker
            log.info("relaying one by one", messages=len(messages), error=f"{type(error).__name__}: {error}")
        else:
            await connection.execute(_SQL["confirm"], [message.id for message in messages])
            return None
        for message in messages:
            try:
                await self.send([message])
            except Exception as error:  # noqa: BLE001  told apart below
                is_refused = isinstance(error, PublishRefused)
                if is_transient(error) and not is_refused:
                    return error
                await self._set_aside(connection, message, error, _RETRY_REFUSED_AFTER if is_refused else None)
            else:
                await connection.execute(_SQL["confirm"], [message.id])
        return None

    async def _set_aside(
        self,
        connection: PooledConnection,
        message: OutboxMessage,
        error: Exception,
        retry_after: timedelta | None,
    ) -> None:
        reason = f"{type(error).__name__}: {error}"[:1000].replace("\x00", "")
        _set_aside.add(1, {"type": message.type})
        log.error("message set aside", id=message.id, type=message.type, reason=reason, retried=retry_after is not None)
        await connection.execute(_SQL["set_aside"], message.id, reason, retry_after)

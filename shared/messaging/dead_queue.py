"""Lists, replays and drops the messages of a dead-letter queue.

A replayed dead letter is acknowledged after the broker has confirmed its copy; a crash in between leaves both, and
handlers are idempotent. Dead letters that are only listed go back into the queue. RabbitMQ counts these returns and
from 4.0 drops a message that was returned too often, so a dead letter is replaced by a copy before that.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, DeliveryMode
from aio_pika.exceptions import ChannelNotFoundEntity
from yarl import URL

from batchyard_contracts import topology
from shared.messaging.dead_letters import APP, ORIGINAL_ID, QUEUE, REASON, SENT_AT, USER
from shared.runtime.errors import BatchyardError

MAX_LISTED = 1000
_MAX_HELD_BYTES = 64 * 1024 * 1024
"""Largest total size of listed dead letters, in bytes: they are held in memory until the listing ends."""
_RETURNS = 10
_OURS = (REASON, QUEUE, ORIGINAL_ID, USER, APP, SENT_AT)
_BROKERS = ("x-death", "x-first-death", "x-last-death", "x-delivery", "x-acquired")
_TIMEOUT_S = 10.0


class NotReplayable(BatchyardError):
    """This dead letter cannot be replayed in its sender's name. Ask the sender to send the message again."""


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


DeadLetterFilter = Callable[[DeadLetter], bool]


class DeadQueue:
    """Dead-letter queue of one queue, over the connection of `dead_queues`."""

    def __init__(self, channel: AbstractChannel, name: str, user: str) -> None:
        self._channel, self._name, self._user = channel, name, user

    async def count(self) -> int:
        """Return the number of dead letters; 0 if the queue does not exist."""
        queue = await self._open()
        return 0 if queue is None else (queue.declaration_result.message_count or 0)

    async def find(self, accepts: DeadLetterFilter, limit: int) -> list[DeadLetter]:
        """Return the first `limit` dead letters that `accepts` is true for, among the first `MAX_LISTED`. They stay."""
        async with aclosing(self._walk(accepts, limit)) as letters:
            return [letter async for letter, _ in letters]

    async def drop(self, accepts: DeadLetterFilter, limit: int) -> list[DeadLetter]:
        """Delete at most `limit` dead letters that `accepts` is true for; return them."""
        gone = []
        async with aclosing(self._walk(accepts, limit)) as letters:
            async for letter, message in letters:
                await message.ack()
                gone.append(letter)
        return gone

    async def replay(self, accepts: DeadLetterFilter, limit: int) -> list[DeadLetter]:
        """Move at most `limit` dead letters that `accepts` is true for back to their queue; return them.

        Raises `NotReplayable` for a message of another user of the broker.
        """
        gone = []
        async with aclosing(self._walk(accepts, limit)) as letters:
            async for letter, message in letters:
                user = _text(message.headers.get(USER)) or message.user_id
                if user is not None and user != self._user:
                    raise NotReplayable(
                        f"{letter.type} {letter.id} is from the broker's user {user!r}, who alone may replay it."
                    )
                await self._publish(self._name, _original(message, user))
                await message.ack()
                gone.append(letter)
        return gone

    async def _walk(
        self, accepts: DeadLetterFilter, limit: int
    ) -> AsyncGenerator[tuple[DeadLetter, AbstractIncomingMessage], None]:
        """Yield accepted dead letters with their messages; those not acknowledged at the end return to the queue."""
        queue = await self._open()
        if queue is None:
            return
        left = queue.declaration_result.message_count or 0  # not those that are returned meanwhile
        held: list[AbstractIncomingMessage] = []
        size = found = 0
        try:
            while left > 0 and found < limit and len(held) < MAX_LISTED and size < _MAX_HELD_BYTES:
                message = await queue.get(fail=False, timeout=_TIMEOUT_S)
                if message is None:
                    break
                left -= 1
                held.append(message)
                letter = _letter(self._name, message)
                if accepts(letter):
                    found += 1
                    yield letter, message
                if message.processed:
                    held.pop()
                else:
                    size += len(message.body)
        finally:
            for message in [one for one in held if not one.processed]:
                if cast("int", message.headers.get("x-delivery-count", 0)) >= _RETURNS:
                    await self._publish(self._name + topology.DEAD_SUFFIX, _copy(message))
                    await message.ack()
                else:
                    await message.nack(requeue=True)

    async def _open(self) -> AbstractQueue | None:
        try:
            return await self._channel.declare_queue(self._name + topology.DEAD_SUFFIX, passive=True)
        except ChannelNotFoundEntity:
            await self._channel.reopen()
            return None

    async def _publish(self, queue: str, message: aio_pika.Message) -> None:
        await self._channel.default_exchange.publish(message, queue, mandatory=True, timeout=_TIMEOUT_S)


@asynccontextmanager
async def dead_queues(url: str, names: Sequence[str]) -> AsyncIterator[list[DeadQueue]]:
    """Open a connection and yield the dead-letter queues of the named queues."""
    connection = await aio_pika.connect(url, timeout=_TIMEOUT_S, client_properties={"connection_name": "dead-letters"})
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        user = URL(url).user or "guest"
        yield [DeadQueue(channel, name, user) for name in names]
    finally:
        await connection.close()


def _letter(queue: str, message: AbstractIncomingMessage) -> DeadLetter:
    death = _death(message)
    reason = _text(message.headers.get(REASON)) or f"RabbitMQ dead-lettered it: {death.get('reason', 'unknown')}"
    keys = death.get("routing-keys") or []
    return DeadLetter(
        id=message.message_id or hashlib.blake2b(message.body, digest_size=16).hexdigest(),
        queue=queue,
        type=message.type or "",
        reason=reason,
        at=message.timestamp if REASON in message.headers else cast("datetime | None", death.get("time")),
        body=message.body,
        exchange=_text(death.get("exchange")),
        routing_key=_text(keys[0]) if keys else None,
    )


def _death(message: AbstractIncomingMessage) -> dict[str, Any]:
    deaths = message.headers.get("x-death")
    return cast("dict[str, Any]", deaths[0]) if isinstance(deaths, list) and deaths else {}


def _original(message: AbstractIncomingMessage, user: str | None) -> aio_pika.Message:
    """Return the message as it was before it became a dead letter, without reply_to: its sender no longer waits."""
    sent_at = _text(message.headers.get(SENT_AT))
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
        timestamp=datetime.fromisoformat(sent_at) if sent_at else (None if was_rejected else message.timestamp),
        headers=headers,
    )


def _copy(message: AbstractIncomingMessage) -> aio_pika.Message:
    """Return a copy of the dead letter, without the broker's count of returns."""
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
        headers={k: v for k, v in message.headers.items() if not k.startswith("x-delivery")}
        | ({USER: message.user_id} if message.user_id else {}),
    )


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None

"""Works a queue of dead letters: looks at them, sends them back to where they came from, or drops them.

A letter leaves its queue by an acknowledgement that follows the broker's confirm of its copy; a crash in between
leaves both, and handlers bear that. Those that are only looked at go back into the queue. RabbitMQ counts such returns
and from 4.0 drops what came back too often, so that a letter is renewed (copied, then acknowledged) before that.
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

MAX_LOOKED_AT = 1000
_MAX_HELD_BYTES = 64 * 1024 * 1024
"""Letters that are looked at are held until the end."""
_RETURNS = 10
_OURS = (REASON, QUEUE, ORIGINAL_ID, USER, APP, SENT_AT)
_BROKERS = ("x-death", "x-first-death", "x-last-death", "x-delivery", "x-acquired")
_TIMEOUT_S = 10.0


class NotReplayable(BatchyardError):
    """This letter cannot be sent in its sender's name. Let the sender send it again."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be handled."""

    id: str
    queue: str
    type: str
    reason: str
    at: datetime | None
    """When it was set aside."""
    body: bytes
    exchange: str | None = None
    routing_key: str | None = None


Wanted = Callable[[DeadLetter], bool]


class DeadQueue:
    """The dead letters of one queue, over a connection of its own that lasts as long as a `with`."""

    def __init__(self, channel: AbstractChannel, name: str, user: str) -> None:
        self._channel, self._name, self._user = channel, name, user

    async def count(self) -> int:
        """How many letters there are; 0 if the queue does not exist."""
        queue = await self._open()
        return 0 if queue is None else (queue.declaration_result.message_count or 0)

    async def look(self, wanted: Wanted, most: int) -> list[DeadLetter]:
        """The first letters that are wanted, among those that can be looked at. They stay."""
        async with aclosing(self._walk(wanted, most)) as letters:
            return [letter async for letter, _ in letters]

    async def drop(self, wanted: Wanted, most: int) -> list[DeadLetter]:
        """Drop letters for ever; returns those that are gone."""
        gone = []
        async with aclosing(self._walk(wanted, most)) as letters:
            async for letter, message in letters:
                await message.ack()
                gone.append(letter)
        return gone

    async def replay(self, wanted: Wanted, most: int) -> list[DeadLetter]:
        """Send letters back to the queue that they came from; returns those that are there again."""
        gone = []
        async with aclosing(self._walk(wanted, most)) as letters:
            async for letter, message in letters:
                user = _text(message.headers.get(USER)) or message.user_id
                if user is not None and user != self._user:
                    raise NotReplayable(
                        f"{letter.type} {letter.id} is from the broker's user {user!r}, who alone may send it again."
                    )
                await self._publish(self._name, _revived(message, user))
                await message.ack()
                gone.append(letter)
        return gone

    async def _walk(
        self, wanted: Wanted, most: int
    ) -> AsyncGenerator[tuple[DeadLetter, AbstractIncomingMessage], None]:
        """Letters, each once, with their messages; what was not acknowledged at the end goes back."""
        queue = await self._open()
        if queue is None:
            return
        left = queue.declaration_result.message_count or 0  # not those that come back meanwhile
        held: list[AbstractIncomingMessage] = []
        size = given = 0
        try:
            while left > 0 and given < most and len(held) < MAX_LOOKED_AT and size < _MAX_HELD_BYTES:
                message = await queue.get(fail=False, timeout=_TIMEOUT_S)
                if message is None:
                    break
                left -= 1
                held.append(message)
                letter = _letter(self._name, message)
                if wanted(letter):
                    given += 1
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
    """The queues of dead letters of these queues."""
    connection = await aio_pika.connect(url, timeout=_TIMEOUT_S, client_properties={"connection_name": "dead-letters"})
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        user = URL(url).user or "guest"
        yield [DeadQueue(channel, name, user) for name in names]
    finally:
        await connection.close()


def _letter(queue: str, message: AbstractIncomingMessage) -> DeadLetter:
    death = _death(message)
    reason = _text(message.headers.get(REASON)) or f"RabbitMQ gave it up: {death.get('reason', 'unknown')}"
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


def _revived(message: AbstractIncomingMessage, user: str | None) -> aio_pika.Message:
    """The message as it was before it died. Nobody waits for its answer any more."""
    sent_at = _text(message.headers.get(SENT_AT))
    buried = REASON in message.headers
    headers = {k: v for k, v in message.headers.items() if k not in _OURS and not k.startswith(_BROKERS)}
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=_text(message.headers.get(ORIGINAL_ID)) or message.message_id,
        type=message.type,
        app_id=_text(message.headers.get(APP)) or (None if buried else message.app_id),
        user_id=user,
        correlation_id=message.correlation_id,
        timestamp=datetime.fromisoformat(sent_at) if sent_at else (None if buried else message.timestamp),
        headers=headers,
    )


def _copy(message: AbstractIncomingMessage) -> aio_pika.Message:
    """The same letter anew."""
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

"""Lists, replays and drops the messages of a dead-letter queue.

A replayed dead letter is acknowledged after the broker has confirmed its copy; a crash in between leaves both, and
handlers are idempotent. Dead letters that are only listed go back into the queue. RabbitMQ counts these returns and
from 4.0 drops a message that was returned too often, so a dead letter is replaced by a copy before that.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from batchyard_contracts import topology
from shared.messaging.connection import connect_once
from shared.messaging.dead_letter_message import DeadLetter, copy_of, original_of, read, returns_of, user_of
from shared.runtime.errors import BatchyardError

MAX_LISTED = 1000
_MAX_HELD_BYTES = 64 * 1024 * 1024
"""Largest total size of listed dead letters, in bytes: they are held in memory until the listing ends."""
_RETURNS = 10
_TIMEOUT_S = 10.0


class NotReplayable(BatchyardError):
    """This dead letter cannot be replayed in its sender's name. Ask the sender to send the message again."""


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
                user = user_of(message)
                if user is not None and user != self._user:
                    raise NotReplayable(
                        f"{letter.type} {letter.id} is from the broker's user {user!r}, who alone may replay it."
                    )
                await self._publish(self._name, original_of(message, user))
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
                letter = read(self._name, message)
                if accepts(letter):
                    found += 1
                    yield letter, message
                if message.processed:
                    held.pop()
                else:
                    size += len(message.body)
        finally:
            for message in [one for one in held if not one.processed]:
                if returns_of(message) >= _RETURNS:
                    await self._publish(self._name + topology.DEAD_SUFFIX, copy_of(message))
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
    connection = await connect_once(url, "dead-letters")
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        user = connection.url.user or "guest"
        yield [DeadQueue(channel, name, user) for name in names]
    finally:
        await connection.close()

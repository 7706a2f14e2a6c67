"""Acknowledges the messages of one consumer together, where they are done in the order in which they came.

RabbitMQ replicates each acknowledgement of a quorum queue, and delivers the next messages after it. One acknowledgement
of many messages costs as much as that of one, so that a queue is read as fast as it is filled.
"""

import asyncio

from aio_pika.abc import AbstractIncomingMessage

from shared.messaging.delivery import acknowledge, give_back, is_stale

FLUSH_S = 0.002
"""Seconds in which messages gather that are acknowledged together."""


class Acknowledgements:
    """Messages of one consumer that were received and not acknowledged, in the order of arrival.

    `max_behind`: messages that may be done behind one in hand. Beyond it each is acknowledged alone, so that one that
    takes long keeps no room of the consumer.
    """

    def __init__(self, max_behind: int) -> None:
        self._max_behind = max_behind
        self._received: dict[int, AbstractIncomingMessage] = {}
        """Messages by delivery tag, which counts the deliveries of a channel."""
        self._done: set[int] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        """Held while acknowledgements are written: one of many messages names the newest, and must come before later
        ones."""

    def receive(self, message: AbstractIncomingMessage) -> None:
        """Note a message that has come. Those of a channel that was lost are forgotten: they will come again."""
        if self._received and is_stale(next(iter(self._received.values()))):
            self._received.clear()
            self._done.clear()
        self._received[_tag(message)] = message

    def add(self, message: AbstractIncomingMessage) -> None:
        """Acknowledge a received message soon."""
        if self._received.get(_tag(message)) is not message:  # of a lost channel
            return
        self._done.add(_tag(message))
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self._send_later)

    async def give_back(self, message: AbstractIncomingMessage) -> None:
        """Return a received message to its queue. It is in hand until that is written, so that none covers it."""
        await give_back(message)
        if self._received.get(_tag(message)) is message:
            del self._received[_tag(message)]

    async def flush(self) -> None:
        """Acknowledge at once all that is done, wherever it came, and return when that is written."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        await self._send(0)
        if self._sending:
            await asyncio.wait(self._sending)

    def _send_later(self) -> None:
        self._flush = None
        task = asyncio.create_task(self._send(self._max_behind))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, max_behind: int) -> None:
        async with self._order:
            newest = self._take_first()
            if newest is not None:
                await acknowledge(newest, multiple=True)
            for message in self._take_behind() if len(self._done) > max_behind else ():
                await acknowledge(message)

    def _take_first(self) -> AbstractIncomingMessage | None:
        """Take the messages that are done before the first one in hand, and return the newest of them."""
        newest = None
        while self._received and (tag := next(iter(self._received))) in self._done:
            newest = self._received.pop(tag)
            self._done.discard(tag)
        return newest

    def _take_behind(self) -> list[AbstractIncomingMessage]:
        """Take the messages that are done behind one in hand."""
        taken = [self._received.pop(tag) for tag in sorted(self._done)]
        self._done.clear()
        return taken


def _tag(message: AbstractIncomingMessage) -> int:
    return message.delivery_tag or 0

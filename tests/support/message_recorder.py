"""Records messages of an exchange, for tests that wait for one of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.message import Message
from shared.messaging.bundles import deliveries
from tests.support.patience import PATIENCE_S

M = TypeVar("M", bound=Message)


class MessageRecorder:
    """Messages received so far."""

    def __init__(self, kinds: tuple[type[Message], ...]) -> None:
        self.messages: list[Message] = []
        self._kinds = {kind.type: kind for kind in kinds}
        self._changed = asyncio.Condition()

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Receive a message from the broker."""
        async with self._changed:
            self.messages += [self._kinds[str(message.type)].decode(one.body) for one in deliveries(message)]
            self._changed.notify_all()

    async def until(self, kind: type[M], fits: Callable[[M], bool], within_s: float = PATIENCE_S) -> M:
        """Wait for the first message of this type that fits, received before or after the call; return it."""

        def first() -> M | None:
            return next((m for m in self.messages if isinstance(m, kind) and fits(m)), None)

        async with asyncio.timeout(within_s), self._changed:
            found: Any = await self._changed.wait_for(first)
        assert isinstance(found, kind)
        return found


@asynccontextmanager
async def recorded_messages(amqp_url: str, exchange: str, *kinds: type[Message]) -> AsyncIterator[MessageRecorder]:
    """Subscribe to messages of these types."""
    recorder = MessageRecorder(kinds)
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for kind in kinds:
            await queue.bind(exchange, f"{kind.type}.#")
        await queue.consume(recorder.on_message, no_ack=True)
        yield recorder

"""Sends commands and questions and waits for their replies: many at once on one channel, by direct reply-to."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, DeliveryMode

from batchyard_contracts.client.errors import NoAnswer
from batchyard_contracts.client.line import LOST, Line, cancelling, check_refused
from batchyard_contracts.message import CONTENT_TYPE, Message
from batchyard_contracts.v1 import MESSAGES

APP_ID = "batchyard-client"
DEFAULT_OWNER = "default"
_REPLY_TO = "amq.rabbitmq.reply-to"
_PAUSE_S = 0.2
_PAUSE_CAP_S = 2.0


class Requests:
    """Publishes to an exchange and gives back the reply, through lost connections, until the time is up."""

    def __init__(self, line: Line, owner: str, traceparent: Callable[[], str | None]) -> None:
        self._line = line
        self._owner = owner
        self._traceparent = traceparent
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}

    async def ask(self, exchange: str, message: Message, timeout_s: float, *, durable: bool) -> Message:
        """The reply. `durable`: it outlives a restart of the broker; else it is dropped when the time is up.

        After a lost connection the same message is published again, under the same id, so that it can act only once.
        Raises `NoAnswer`, `BrokerRefused`.
        """
        message_id = uuid.uuid4().hex
        trouble: BaseException | None = None
        pause = _PAUSE_S
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        return await self._once(exchange, message, message_id, timeout_s, durable=durable)
                    except LOST as error:
                        check_refused(error)
                        trouble = error
                    except asyncio.CancelledError as error:
                        if cancelling():
                            raise
                        trouble = error
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_CAP_S)
        except TimeoutError:
            because = f" The last trouble was {type(trouble).__name__}: {trouble}." if trouble else ""
            raise NoAnswer(
                f"No service answered {message.type} within {timeout_s:g} s.{because} Check that the services are up; "
                "sending the same again under the same id or idempotency key is safe."
            ) from trouble

    async def _once(
        self, exchange: str, message: Message, message_id: str, timeout_s: float, *, durable: bool
    ) -> Message:
        future: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        try:
            channel = await self._open()
            target = await channel.get_exchange(exchange, ensure=False)
            await target.publish(
                self._enclosed(message, message_id, timeout_s, durable=durable),
                message.routing_key(),
                mandatory=True,
                timeout=timeout_s,
            )
            reply = await future
        finally:
            del self._waiting[message_id]
        return MESSAGES[reply.type or ""].decode(reply.body)

    def _enclosed(self, message: Message, message_id: str, timeout_s: float, *, durable: bool) -> aio_pika.Message:
        trace = self._traceparent()
        return aio_pika.Message(
            message.encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT if durable else DeliveryMode.NOT_PERSISTENT,
            expiration=None if durable else timeout_s,
            message_id=message_id,
            correlation_id=message_id,
            reply_to=_REPLY_TO,
            type=message.type,
            app_id=APP_ID,
            user_id=None if self._owner == DEFAULT_OWNER else self._owner,
            timestamp=datetime.now(UTC),
            headers={"traceparent": trace} if trace else None,
        )

    async def _open(self) -> AbstractChannel:
        """Replies come to the channel that asked, so it consumes them itself, before the first question."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                connection = await self._line.connection()
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                replies = await channel.get_queue(_REPLY_TO, ensure=False)
                await replies.consume(self._answered, no_ack=True)
                channel.close_callbacks.add(self._lost)
                self._channel = channel
            return self._channel

    async def _answered(self, reply: AbstractIncomingMessage) -> None:
        future = self._waiting.get(reply.correlation_id or "")
        if future is not None and not future.done() and reply.type in MESSAGES:
            future.set_result(reply)

    async def _lost(self, *_: object) -> None:
        for future in self._waiting.values():
            future.cancel()

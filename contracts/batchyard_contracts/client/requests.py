"""Request-reply over one channel: commands and queries are sent concurrently; replies come to a queue of its own."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, DeliveryMode
from aio_pika.exceptions import DeliveryError, PublishError

from batchyard_contracts.client.connection import LOST, BrokerConnection, is_cancelled, raise_if_refused
from batchyard_contracts.client.errors import NoReply
from batchyard_contracts.message import CONTENT_TYPE, Message
from batchyard_contracts.topology import REPLIES, reply_queue
from batchyard_contracts.v1 import MESSAGES

APP_ID = "batchyard-client"
DEFAULT_OWNER = "default"
_PAUSE_S = 0.2
_PAUSE_CAP_S = 2.0


class RequestClient:
    """Client that publishes requests and returns their replies. It repeats a request after a lost connection."""

    def __init__(self, connection: BrokerConnection, owner: str, traceparent: Callable[[], str | None]) -> None:
        self._connection = connection
        self._owner = owner
        self._traceparent = traceparent
        self._channel: AbstractChannel | None = None
        self._reply_to = ""
        self._opening = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}

    async def request(self, exchange: str, message: Message, timeout_s: float, *, durable: bool) -> Message:
        """Publish a request and return its reply; raises `NoReply` or `BrokerRefused`.

        A `durable` request survives a restart of the broker; any other is dropped after `timeout_s` seconds. After a
        lost connection the request is published again under the same id, so that it takes effect only once.
        """
        message_id = uuid.uuid4().hex
        last_error: BaseException | None = None
        pause = _PAUSE_S
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        return await self._attempt(exchange, message, message_id, timeout_s, durable=durable)
                    except LOST as error:
                        raise_if_refused(error)
                        last_error = error
                    except asyncio.CancelledError as error:
                        if is_cancelled():
                            raise
                        last_error = error
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_CAP_S)
        except TimeoutError:
            because = f" The last error was {type(last_error).__name__}: {last_error}." if last_error else ""
            raise NoReply(
                f"No service replied to {message.type} within {timeout_s:g} s.{because} Check that the services run. "
                "Sending the command again under the same id or idempotency key is safe."
            ) from last_error

    async def _attempt(
        self, exchange: str, message: Message, message_id: str, timeout_s: float, *, durable: bool
    ) -> Message:
        future: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        try:
            channel = await self._open()
            target = await channel.get_exchange(exchange, ensure=False)
            try:
                await target.publish(
                    self._amqp_message(message, message_id, timeout_s, durable=durable),
                    message.routing_key(),
                    mandatory=True,
                    timeout=timeout_s,
                )
            except DeliveryError as error:
                if not isinstance(error, PublishError):
                    await channel.close()  # it met a queue whose leader died, and may refuse all further requests
                raise
            reply = await future
        finally:
            del self._waiting[message_id]
        return MESSAGES[reply.type or ""].decode(reply.body)

    def _amqp_message(self, message: Message, message_id: str, timeout_s: float, *, durable: bool) -> aio_pika.Message:
        trace = self._traceparent()
        return aio_pika.Message(
            message.encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT if durable else DeliveryMode.NOT_PERSISTENT,
            expiration=None if durable else timeout_s,
            message_id=message_id,
            correlation_id=message_id,
            reply_to=self._reply_to,
            type=message.type,
            app_id=APP_ID,
            user_id=None if self._owner == DEFAULT_OWNER else self._owner,
            timestamp=datetime.now(UTC),
            headers={"traceparent": trace} if trace else None,
        )

    async def _open(self) -> AbstractChannel:
        """Open the channel, and consume the replies before the first request."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                connection = await self._connection.open()
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                try:
                    self._reply_to = await self._consume_replies(channel)
                except BaseException:  # also when the time of the request ends, or its queue would stay
                    await channel.close()
                    raise
                channel.close_callbacks.add(self._on_channel_closed)
                self._channel = channel
            return self._channel

    async def _consume_replies(self, channel: AbstractChannel) -> str:
        reply_to = reply_queue(self._owner, uuid.uuid4().hex)
        replies = await channel.declare_queue(reply_to, exclusive=True, auto_delete=True)
        await replies.bind(REPLIES, reply_to)
        await replies.consume(self._on_reply, no_ack=True)
        return reply_to

    async def _on_reply(self, reply: AbstractIncomingMessage) -> None:
        future = self._waiting.get(reply.correlation_id or "")
        if future is not None and not future.done() and reply.type in MESSAGES:
            future.set_result(reply)

    async def _on_channel_closed(self, *_: object) -> None:

        for future in self._waiting.values():
            future.cancel()

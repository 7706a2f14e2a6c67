"""Sends the queries of a service to others over AMQP and awaits the replies: concurrent, on one channel, with a queue
of its own for replies."""

import asyncio
import uuid
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError
from aiormq.exceptions import ChannelAccessRefused
from pydantic import ValidationError

from batchyard_contracts.message import CONTENT_TYPE, MAX_MESSAGE_BYTES, Message
from batchyard_contracts.topology import INQUIRIES, REPLIES, reply_queue
from batchyard_contracts.v1.queries import QueryFailed
from shared.messaging.connection import connect
from shared.messaging.delivery import CHANNEL_LOST, MessageDecoder, explain
from shared.observability.telemetry import traceparent
from shared.runtime.errors import MessageRejected, PublishFailed, QueryRefused, QueryTimeout

_PAUSE_S = 0.1
"""Pause in seconds before a query is sent again."""
_TIMEOUT_S = 10.0
ReplyT = TypeVar("ReplyT")


class _ChannelClosed(Exception):
    """The channel was lost before the reply came."""


class RpcClient:
    """RPC client that matches replies to queries by correlation id."""

    def __init__(self, connection: AbstractRobustConnection, service: str, exchange: str = INQUIRIES) -> None:
        """`service`: the one that asks, in whose queues the replies arrive. `exchange`: the one of its questions."""
        self._connection, self._service, self._exchange = connection, service, exchange
        self._channel: AbstractChannel | None = None
        self._reply_to = ""
        self._opening = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[AbstractIncomingMessage]] = {}

    @classmethod
    async def open(cls, url: str, service: str, *, exchange: str = INQUIRIES, wait: bool = True) -> "RpcClient":
        """Connect, or with `wait=False` let the first query wait. Queries have a connection of their own."""
        return cls(await connect(url, f"{service}-questions", wait=wait), service, exchange)

    async def query(
        self,
        message: Message,
        reply: MessageDecoder[ReplyT],
        *,
        timeout_s: float = _TIMEOUT_S,
        exchange: str | None = None,
        older_type: str | None = None,
    ) -> ReplyT:
        """Send a query and return the decoded reply. `exchange`: another one than that of this client's questions.
        `older_type`: an older service's type of it, in the same form.

        A query whose connection is lost is sent again, so queries have to be idempotent. Raises `QueryTimeout` after
        `timeout_s` seconds, `QueryRefused` if the service replied with an error or with a body that cannot be read,
        `PublishFailed` if an exchange or the right to it is missing, and `MessageRejected` if the query is too large.
        """
        body = message.encode()
        if len(body) > MAX_MESSAGE_BYTES:
            raise MessageRejected(
                f"A {message.type} of {len(body)} bytes is over the limit of {MAX_MESSAGE_BYTES}: split it."
            )
        try:
            async with asyncio.timeout(timeout_s):
                received = await self._ask(message, body, timeout_s, exchange or self._exchange)
        except TimeoutError as error:
            raise QueryTimeout(f"No service answered {message.type} within {timeout_s:g} s. Is it running?") from error
        if received.type == QueryFailed.type:
            raise QueryRefused(QueryFailed.decode(received.body).detail)
        if received.type not in {reply.type, older_type}:
            raise QueryRefused(f"Expected {reply.type} as the reply to {message.type}, got {received.type}.")
        try:
            return reply.decode(received.body)
        except ValidationError as error:
            raise QueryRefused(f"The reply {reply.type} cannot be read: {explain(error)}") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _ask(self, query: Message, body: bytes, timeout_s: float, exchange: str) -> AbstractIncomingMessage:
        """Send the query, again whenever its channel was lost or the broker refused it, and return the reply."""
        correlation_id = uuid.uuid4().hex
        while True:
            future: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
            self._waiting[correlation_id] = future
            try:
                channel = await self._open_channel()
                target = await channel.get_exchange(exchange, ensure=False)
                await target.publish(self._amqp_message(query, body, correlation_id, timeout_s), query.routing_key())
                return await future
            except DeliveryError:
                await channel.close()  # it may refuse all further queries: see `PublishChannel.replace`
            except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
                raise PublishFailed(f"RabbitMQ did not accept {query.type}: {error}") from error
            except (*CHANNEL_LOST, OSError, _ChannelClosed):
                pass  # sent again below
            finally:
                del self._waiting[correlation_id]
            await asyncio.sleep(_PAUSE_S)

    def _amqp_message(self, query: Message, body: bytes, correlation_id: str, timeout_s: float) -> aio_pika.Message:
        return aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            message_id=correlation_id,
            correlation_id=correlation_id,
            type=query.type,
            reply_to=self._reply_to,
            expiration=timeout_s,
            headers={"traceparent": trace} if (trace := traceparent()) else None,
        )

    async def _open_channel(self) -> AbstractChannel:
        """Return the channel, opened anew if it was closed, with a queue for the replies to what is sent on it."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self._connection.connected.wait()
                channel = aio_pika.Channel(self._connection, publisher_confirms=True)
                await channel.initialize()
                try:
                    reply_to = await self._consume_replies(channel)
                except BaseException:  # also when the time of the query ends, or its queue would stay
                    await channel.close()
                    raise
                channel.close_callbacks.add(self._on_channel_closed)
                self._channel, self._reply_to = channel, reply_to
            return self._channel

    async def _consume_replies(self, channel: AbstractChannel) -> str:
        reply_to = reply_queue(self._service, uuid.uuid4().hex)
        queue = await channel.declare_queue(reply_to, exclusive=True, auto_delete=True)
        await queue.bind(REPLIES, reply_to)
        await queue.consume(self._on_reply, no_ack=True)
        return reply_to

    def _on_channel_closed(self, *_: object) -> None:
        """Wake the queries that were sent: a reply to them goes nowhere."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_ChannelClosed())

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        future = self._waiting.get(message.correlation_id or "")
        if future is not None and not future.done():
            future.set_result(message)

"""Tells how many messages wait in a queue."""

from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.messaging.connection import open_channel


async def queue_depth(connection: AbstractRobustConnection, queue: str) -> int | None:
    """Return the number of messages that wait in a queue; None if there is no such queue.

    Raises `ConnectionError` while RabbitMQ is unreachable.
    """
    if not connection.connected.is_set():
        raise ConnectionError("RabbitMQ is unreachable.")
    async with await open_channel(connection) as channel:
        try:
            declared = await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
        return declared.declaration_result.message_count or 0

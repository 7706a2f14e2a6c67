"""Tells how many messages wait in a queue, and how many consumers it has."""

from collections.abc import Iterable
from typing import NamedTuple

from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.messaging.connection import open_channel


class QueueState(NamedTuple):
    """The state of a queue at one moment."""

    messages: int
    """Messages that wait. Those that a consumer has and did not acknowledge are no part of them."""
    consumers: int
    """Consumers that are subscribed, or that were and have messages that they did not acknowledge."""


async def queue_state(connection: AbstractRobustConnection, queue: str) -> QueueState | None:
    """Return the state of a queue; None if there is no such queue.

    Raises `ConnectionError` while RabbitMQ is unreachable.
    """
    if not connection.connected.is_set():
        raise ConnectionError("RabbitMQ is unreachable.")
    async with await open_channel(connection) as channel:
        try:
            declared = (await channel.declare_queue(queue, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return None
        return QueueState(declared.message_count or 0, declared.consumer_count or 0)


async def queue_depth(connection: AbstractRobustConnection, queue: str) -> int | None:
    """Return the number of messages that wait in a queue; None if there is no such queue. Raises like `queue_state`."""
    state = await queue_state(connection, queue)
    return None if state is None else state.messages


async def queue_states(connection: AbstractRobustConnection, names: Iterable[str]) -> dict[str, QueueState]:
    """Return the states of those of the queues that exist, by their names. Raises like `queue_state`."""
    if not connection.connected.is_set():
        raise ConnectionError("RabbitMQ is unreachable.")
    found: dict[str, QueueState] = {}
    left = list(names)
    while left:
        async with await open_channel(connection) as channel:
            try:
                while left:
                    name = left.pop(0)
                    declared = (await channel.declare_queue(name, passive=True)).declaration_result
                    found[name] = QueueState(declared.message_count or 0, declared.consumer_count or 0)
            except ChannelNotFoundEntity:  # there is no such queue, and the broker has closed the channel
                continue
    return found

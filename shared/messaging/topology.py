"""Declares the exchanges, queues and bindings that the contracts name."""

from collections.abc import Iterable

import structlog
from aio_pika.abc import AbstractChannel, AbstractRobustConnection, ExchangeType
from aio_pika.exceptions import ChannelPreconditionFailed

from batchyard_contracts import topology
from shared.messaging.connection import open_channel
from shared.runtime.errors import ConfigurationError
from shared.runtime.transient import retry_transient

log = structlog.get_logger()


async def declare(connection: AbstractRobustConnection, queues: Iterable[topology.Queue] = topology.QUEUES) -> None:
    """Declare all exchanges and the given queues with their dead-letter queues and bindings. Safe to repeat.

    Waits until the broker is available. A queue whose messages may be lost is deleted and declared anew if it has other
    arguments, those of an old version.
    """
    wanted = list(queues)
    await retry_transient(lambda: _declare(connection, wanted), "RabbitMQ")


async def _declare(connection: AbstractRobustConnection, queues: Iterable[topology.Queue]) -> None:
    async with await open_channel(connection) as channel:
        for name, kind in topology.EXCHANGES.items():
            await channel.declare_exchange(name, ExchangeType(kind), durable=True)
        for queue in queues:
            dead = queue.dead_queue()
            if dead is not None:
                await _declare_queue(channel, dead)
            if queue.lossy_ttl_ms is not None:
                await _delete_outdated(connection, queue)
            await _declare_queue(channel, queue)


async def _delete_outdated(connection: AbstractRobustConnection, queue: topology.Queue) -> None:
    async with await open_channel(connection) as channel:
        try:
            await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments()), robust=False)
        except ChannelPreconditionFailed:
            log.warning("queue replaced: it had other arguments", queue=queue.name)
        else:
            return
    async with await open_channel(connection) as channel:
        await channel.queue_delete(queue.name)


async def _declare_queue(channel: AbstractChannel, queue: topology.Queue) -> None:
    try:
        declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments()))
    except ChannelPreconditionFailed as error:
        raise ConfigurationError(
            f"The queue {queue.name} exists with other arguments ({error}). Delete it, or use another virtual host."
        ) from error
    for binding in queue.bindings:
        await declared.bind(binding.exchange, binding.routing_key)

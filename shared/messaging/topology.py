"""Declares the exchanges, queues and bindings that the contracts name."""

from collections.abc import Iterable

from aio_pika.abc import AbstractChannel, AbstractRobustConnection, ExchangeType

from batchyard_contracts import topology


async def declare(connection: AbstractRobustConnection, queues: Iterable[topology.Queue] = topology.QUEUES) -> None:
    """Declare all exchanges and the given queues with their dead-letter queues and bindings. Safe to repeat."""
    async with connection.channel() as channel:
        for name, kind in topology.EXCHANGES.items():
            await channel.declare_exchange(name, ExchangeType(kind), durable=True)
        for queue in queues:
            dead = queue.dead_queue()
            if dead is not None:
                await _declare_queue(channel, dead)
            await _declare_queue(channel, queue)


async def _declare_queue(channel: AbstractChannel, queue: topology.Queue) -> None:
    declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments()))
    for binding in queue.bindings:
        await declared.bind(binding.exchange, binding.routing_key)

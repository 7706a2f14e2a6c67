"""Declares the exchanges, queues and bindings that the contracts name, or waits until somebody has declared them."""

import asyncio
from collections.abc import Iterable
from typing import Literal

import structlog
from aio_pika.abc import AbstractChannel, AbstractRobustConnection, ExchangeType
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from batchyard_contracts import topology
from batchyard_contracts.v1.manifest import Manifest
from shared.messaging.connection import open_channel
from shared.runtime.errors import ConfigurationError
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
TopologyMode = Literal["declare", "check"]
"""`check`: the process has no right to declare, so that it waits for queues that are missing."""
_LOOK_INTERVAL_S = 0.5
_REMIND_AFTER_S = 10.0
_SILENT_S = 3.0
"""Time in seconds in which a missing queue is no news: ingest declares those of a workload when it is announced."""


def queues_of(manifest: Manifest) -> list[topology.Queue]:
    """Return the queues of a workload that workers consume, those of its summary and its questions included."""
    name = manifest.name
    return [
        *topology.work_queues(name),
        topology.quarantine_queue(name),
        *([topology.summary_queue(name)] if manifest.summary_schema is not None else []),
        *(topology.question_queue(name, question) for question in manifest.questions),
    ]


async def prepare(
    connection: AbstractRobustConnection,
    mode: TopologyMode,
    service: str,
    further: Iterable[topology.Queue] = (),
) -> None:
    """Return as soon as the queues of a service and the further ones are there; until then say what is missing."""
    if mode == "declare":
        await declare(connection, [*topology.QUEUES, *further])
        return
    own = [queue for queue in topology.QUEUES if queue.name.startswith(f"{service}.")]
    await retry_transient(lambda: _wait_for(connection, [*own, *further]), "RabbitMQ")


async def _wait_for(connection: AbstractRobustConnection, queues: Iterable[topology.Queue]) -> None:
    loop = asyncio.get_running_loop()
    remind_at = loop.time() + _SILENT_S
    for queue in queues:
        while not await _has_queue(connection, queue.name):
            if loop.time() >= remind_at:
                log.warning("waiting for a queue", queue=queue.name, advice="run `batchyard topology apply`")
                remind_at = loop.time() + _REMIND_AFTER_S
            await asyncio.sleep(_LOOK_INTERVAL_S)  # RabbitMQ does not tell when a queue is declared


async def _has_queue(connection: AbstractRobustConnection, queue: str) -> bool:
    async with await open_channel(connection) as channel:
        try:
            await channel.declare_queue(queue, passive=True, robust=False)
        except ChannelNotFoundEntity:
            return False
        return True


async def declare(connection: AbstractRobustConnection, queues: Iterable[topology.Queue] = topology.QUEUES) -> None:
    """Declare all exchanges and the given queues with their dead-letter queues and bindings. Safe to repeat.

    Waits until the broker is available. Bindings of an earlier version are removed. A queue whose messages may be lost
    is deleted and declared anew if it has other arguments, those of an old version.
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
    for binding in queue.former_bindings:  # one that is not there is no error
        await declared.unbind(binding.exchange, binding.routing_key)

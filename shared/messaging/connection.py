"""Connects to RabbitMQ: waits for the broker at start and reconnects after a loss."""

import aio_pika
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import AMQPConnectionError
from yarl import URL

from shared.runtime.transient import retry_transient

HEARTBEAT_S = 15
RECONNECT_S = 0.5


async def connect(url: str, name: str, heartbeat_s: int = HEARTBEAT_S) -> AbstractRobustConnection:
    """Open a connection that reconnects by itself; the broker's management shows its `name`.

    The broker closes the connection of a process that is frozen for two to three times `heartbeat_s`.
    """
    address = URL(url).update_query(heartbeat=heartbeat_s, name=name)

    async def attempt() -> AbstractRobustConnection:
        return await aio_pika.connect_robust(
            address, timeout=10, reconnect_interval=RECONNECT_S, client_properties={"connection_name": name}
        )

    return await retry_transient(attempt, "RabbitMQ")


async def open_channel(connection: AbstractRobustConnection) -> AbstractRobustChannel:
    """Open a channel as soon as the connection is established."""

    async def attempt() -> AbstractRobustChannel:
        await connection.connected.wait()
        try:
            return await connection.channel()
        except RuntimeError as error:  # the connection was lost meanwhile; aio_pika raises no error of its own
            raise AMQPConnectionError(str(error)) from error

    return await retry_transient(attempt, "RabbitMQ")

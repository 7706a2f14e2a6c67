"""One connection to RabbitMQ, opened when it is first needed and opened again after it was lost."""

import asyncio

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)
from aiormq.exceptions import AuthenticationError, ChannelAccessRefused, ConnectionNotAllowed
from yarl import URL

from batchyard_contracts.client.errors import BrokerRefused

HEARTBEAT_S = 15
CONNECT_S = 10.0
_REFUSED = (ChannelAccessRefused, ChannelPreconditionFailed)
_REFUSED_AT_FIRST = (AuthenticationError, ProbableAuthenticationError, ConnectionNotAllowed)
"""A broker that is starting up answers with these too: they are final only before the first success."""

LOST = (AMQPError, OSError, TimeoutError, ChannelInvalidStateError)
"""What a lost connection, an absent exchange or an unroutable message raise: trying again may help."""


class Line:
    """A connection; several channels may share it."""

    def __init__(self, url: str, name: str) -> None:
        self._url = URL(url).update_query(heartbeat=HEARTBEAT_S)
        self._name = name
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()
        self._was_open = False

    async def connection(self) -> AbstractConnection:
        """The open connection; raises one of `LOST`, or `BrokerRefused` when trying again cannot help."""
        async with self._opening:
            if self._connection is None or self._connection.is_closed or not self._connection.connected.is_set():
                await self._drop()
                try:
                    self._connection = await aio_pika.connect(
                        self._url, timeout=CONNECT_S, client_properties={"connection_name": self._name}
                    )
                except _REFUSED_AT_FIRST as error:
                    if self._was_open:
                        raise
                    raise BrokerRefused(f"{BrokerRefused.__doc__} ({type(error).__name__})") from error
                self._was_open = True
            return self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        async with self._opening:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed:
            await connection.close()


def check_refused(error: BaseException) -> None:
    """Raise `BrokerRefused` for what the broker will never allow; return when trying again may help."""
    if isinstance(error, _REFUSED):
        raise BrokerRefused(f"{BrokerRefused.__doc__} ({error})") from error


def cancelling() -> bool:
    """Whether this task was told to stop. A connection that dies cancels what waits for it, which is not that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

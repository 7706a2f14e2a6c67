"""Connection to RabbitMQ that is opened when it is first needed, and reopened after it was lost.

An address with several hosts is tried from the next host on.
"""

import asyncio
from collections import deque

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

from batchyard_contracts.broker_urls import broker_urls
from batchyard_contracts.client.errors import BrokerRefused

HEARTBEAT_S = 15
CONNECT_S = 10.0
"""Longest time in seconds that connecting takes, with all hosts of the address."""
_REFUSED = (ChannelAccessRefused, ChannelPreconditionFailed)
_REFUSED_AT_FIRST = (AuthenticationError, ProbableAuthenticationError, ConnectionNotAllowed)
"""Errors that are final only before the first success, because a broker that is starting up raises them too."""

LOST = (AMQPError, OSError, TimeoutError, ChannelInvalidStateError)
"""Errors of a lost connection, a missing exchange or an unroutable message, after which a retry may succeed."""


class BrokerConnection:
    """Connection to RabbitMQ, which several channels may share."""

    def __init__(self, url: str, name: str) -> None:
        self._urls = deque(URL(one).update_query(heartbeat=HEARTBEAT_S) for one in broker_urls(url))
        self._name = name
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()
        self._was_open = False

    async def open(self) -> AbstractConnection:
        """Return the open connection; raises one of `LOST`, or `BrokerRefused` if a retry cannot succeed."""
        async with self._opening:
            if self._connection is None or self._connection.is_closed or not self._connection.connected.is_set():
                await self._drop()
                self._connection = await self._connect()
                self._was_open = True
            return self._connection

    async def _connect(self) -> AbstractConnection:
        """Connect to the next host that answers; raises the error of the last one if none does."""
        for hosts_left in reversed(range(len(self._urls))):
            url = self._urls[0]
            self._urls.rotate(-1)
            try:
                return await aio_pika.connect(
                    url, timeout=CONNECT_S / len(self._urls), client_properties={"connection_name": self._name}
                )
            except _REFUSED_AT_FIRST as error:
                if self._was_open:
                    raise
                raise BrokerRefused(f"{BrokerRefused.__doc__} ({type(error).__name__})") from error
            except LOST:
                if hosts_left == 0:
                    raise
        raise AssertionError

    async def close(self) -> None:
        """Close the connection if it is open."""
        async with self._opening:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed:
            await connection.close()


def raise_if_refused(error: BaseException) -> None:
    """Raise `BrokerRefused` for an error that is final; return if a retry may succeed."""
    if isinstance(error, _REFUSED):
        raise BrokerRefused(f"{BrokerRefused.__doc__} ({error})") from error


def is_cancelled() -> bool:
    """True if this task itself was cancelled, rather than a future whose connection was lost."""

    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

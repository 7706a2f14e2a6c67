"""Connects to RabbitMQ: waits for the broker at start, reconnects after a loss, and takes the next host each time.

What one channel lacks, such as a queue that is missing, keeps no other channel of its connection from working.
"""

import asyncio
import random
import socket
from asyncio import StreamReader, StreamWriter
from collections import deque
from typing import Any
from weakref import WeakSet

import aio_pika
import structlog
from aio_pika import RobustChannel, RobustConnection
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import AMQPConnectionError
from aiormq.connection import DEFAULT_PORTS, TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from batchyard_contracts.broker_urls import broker_urls
from shared.messaging import frame_decoder
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
HEARTBEAT_S = 15
RECONNECT_S = 0.5
CONNECT_TIMEOUT_S = 10.0
_HOST_TIMEOUT_S = 3.0
"""Longest time in seconds that one host may take to answer, before the next one is tried."""
_RESTORE_TIMEOUT_S = 5.0
"""Longest time in seconds for declaring the queues of a channel again and consuming them."""
_KEEP_ALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
"""Socket options by which a host that vanished without a word is noticed after about ten seconds."""


async def connect(
    url: str, name: str, heartbeat_s: int = HEARTBEAT_S, *, wait: bool = True
) -> AbstractRobustConnection:
    """Open a connection that reconnects by itself; the broker's management shows its `name`.

    The broker closes the connection of a process that is frozen for two to three times `heartbeat_s`.

    With `wait=False` it is returned at once, and connects when the broker is available.
    """
    connection = BrokerConnection(url, name, heartbeat_s)
    connection.start()
    try:
        if wait:
            await connection.connected.wait()
    except BaseException:
        await connection.close()
        raise
    return connection


async def connect_once(url: str, name: str) -> aio_pika.Connection:
    """Open a connection that is not reopened when it is lost."""
    frame_decoder.install()
    connection = aio_pika.Connection(_named(url, name), client_properties={"connection_name": name})
    connection.kwargs["transport_factory"] = HostRotation(url)
    try:
        await connection.connect(CONNECT_TIMEOUT_S)
    except BaseException:
        await connection.close()  # else its end would close it, maybe where no loop runs
        raise
    return connection


async def open_channel(
    connection: AbstractRobustConnection, *, publisher_confirms: bool = True, on_return_raises: bool = False
) -> AbstractRobustChannel:
    """Open a channel as soon as the connection is established."""

    async def attempt() -> AbstractRobustChannel:
        await connection.connected.wait()
        try:
            return await connection.channel(publisher_confirms=publisher_confirms, on_return_raises=on_return_raises)
        except RuntimeError as error:  # the connection was lost meanwhile; aio_pika raises no error of its own
            raise AMQPConnectionError(str(error)) from error

    return await retry_transient(attempt, "RabbitMQ")


class HostRotation(TransportFactory):
    """Opens the sockets of one connection: each time to the next host of the address that answers."""

    def __init__(self, url: str) -> None:
        urls = [URL(one) for one in broker_urls(url)]
        self._urls = deque(one if one.port else one.with_port(DEFAULT_PORTS[one.scheme]) for one in urls)
        self._urls.rotate(random.randrange(len(urls)))  # so that connections are spread over the hosts
        self._transport = TLSTransportFactory() if urls[0].scheme == "amqps" else TCPTransportFactory()

    async def create(self, url: URL, **kwargs: Any) -> tuple[StreamReader, StreamWriter]:
        """Connect; raises `AMQPConnectionError` if no host answers. The host of `url` does not count."""
        failures = []
        for _ in range(len(self._urls)):
            host = self._urls[0]
            self._urls.rotate(-1)
            try:
                async with asyncio.timeout(_HOST_TIMEOUT_S):
                    reader, writer = await self._transport.create(host, **kwargs)
            except (OSError, AMQPConnectionError) as error:
                failures.append(f"{host.host}:{host.port}: {type(error).__name__} {error}".strip())
            else:
                _keep_alive(writer)
                return reader, writer
        raise AMQPConnectionError(f"No host of RabbitMQ answers: {'; '.join(failures)}")


class _IsolatedChannel(RobustChannel):
    """Channel that never fails its connection: what cannot be restored is tried again later."""

    async def _restore_consumers(self) -> bool:
        """Restore the channel with its queues and consumers; return True if that has to be tried again."""
        try:
            async with asyncio.timeout(_RESTORE_TIMEOUT_S):
                return await super()._restore_consumers()
        except Exception as error:  # noqa: BLE001  whatever it is, it concerns this channel alone
            log.warning("channel not restored", error=f"{type(error).__name__}: {error}"[:300])
            return True

    async def _on_close(self, closing: asyncio.Future[Any]) -> BaseException | None:
        try:
            return await super()._on_close(closing)
        except Exception as error:  # noqa: BLE001  raised by an attempt to reopen it at once
            if isinstance(self._connection, BrokerConnection):
                self._connection.restore_later()
            return error


class BrokerConnection(RobustConnection):
    """Connection that reconnects to the next host, and whose channels are restored independently of each other."""

    CHANNEL_CLASS = _IsolatedChannel

    def __init__(self, url: str, name: str, heartbeat_s: int = HEARTBEAT_S) -> None:
        frame_decoder.install()
        super().__init__(
            _named(url, name, heartbeat_s),
            client_properties={"connection_name": name},
            reconnect_interval=RECONNECT_S,
            fail_fast=False,
        )
        self.kwargs["transport_factory"] = HostRotation(url)
        self._restorable: WeakSet[_IsolatedChannel] = WeakSet()
        self._connecting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; `connected` is set whenever there is a connection."""
        self._connecting = asyncio.create_task(self.connect(CONNECT_TIMEOUT_S))

    async def close(self, exc: Any = asyncio.CancelledError) -> None:
        """Close the connection, and connect no more."""
        if self._connecting is not None:
            self._connecting.cancel()
        await super().close(exc)

    def channel(
        self, channel_number: int | None = None, publisher_confirms: bool = True, on_return_raises: bool = False
    ) -> AbstractRobustChannel:
        """Return a new channel that is restored after each reconnect."""
        channel = super().channel(channel_number, publisher_confirms, on_return_raises)
        if isinstance(channel, _IsolatedChannel):
            self._restorable.add(channel)
        return channel

    def restore_later(self) -> None:
        """Restore the channels once more after `RECONNECT_S` seconds."""
        self._request_recovery()

    async def _on_connected(self) -> None:
        """Restore the channels. The library's own method closes the connection again if one of them fails."""
        await aio_pika.Connection._on_connected(self)  # noqa: SLF001  of the base class
        if any(await asyncio.gather(*(channel._restore_consumers() for channel in tuple(self._restorable)))):  # noqa: SLF001
            self.restore_later()
        if self.connection_attempt:
            await self.reconnect_callbacks()
        self.connection_attempt += 1


def _named(url: str, name: str, heartbeat_s: int = HEARTBEAT_S) -> URL:
    return URL(broker_urls(url)[0]).update_query(heartbeat=heartbeat_s, name=name)


def _keep_alive(writer: StreamWriter) -> None:
    stream = writer.get_extra_info("socket")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE:
        if hasattr(socket, option):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

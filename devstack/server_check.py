"""Checks that a server answers: a login and one query, not only an open port."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import aiormq
import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from batchyard_contracts.broker_urls import broker_urls
from devstack.component import Name
from devstack.errors import ServerUnavailable

_TIMEOUT = 5.0
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


async def check_server(name: Name, url: str) -> None:
    """Return when the server has accepted a login. Raises ServerUnavailable with the reason."""
    checks = {"rabbitmq": _rabbitmq, "postgres": _postgres, "redis": _redis}
    try:
        async with asyncio.timeout(_TIMEOUT):
            await checks[name](url)
    except TimeoutError as error:
        raise ServerUnavailable(f"no answer within {_TIMEOUT:.0f} s") from error
    except (OSError, EOFError, ValueError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServerUnavailable(str(error) or type(error).__name__) from error
    except aiormq.exceptions.AMQPError as error:
        raise ServerUnavailable(str(error) or type(error).__name__) from error


async def wait_for_server(name: Name, url: str, within: float, alive: Callable[[], bool]) -> None:
    """Wait until a starting server answers. Raises ServerUnavailable if it ends or needs over `within` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            await check_server(name, url)
        except ServerUnavailable as error:
            if not alive():
                raise ServerUnavailable("it ended while starting") from error
            if asyncio.get_running_loop().time() > deadline:
                raise ServerUnavailable(f"not ready after {within:.0f} s: {error}") from error
            await asyncio.sleep(0.05)
        else:
            return


async def _rabbitmq(url: str) -> None:
    """Log in to the first host that answers; one of several is enough."""
    hosts = broker_urls(url)
    for host in hosts:
        try:
            await _rabbitmq_host(host)
        except (OSError, EOFError, ServerUnavailable, aiormq.exceptions.AMQPError):
            if host == hosts[-1]:
                raise
        else:
            return


async def _rabbitmq_host(url: str) -> None:
    # The handshake first: a refused connection of the client library takes a hundred times as long.
    parts = urlsplit(url)
    if parts.scheme == "amqp":
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 5672)
        try:
            writer.write(_PROTOCOL_HEADER)
            if await reader.readexactly(1) != _METHOD_FRAME:
                raise ServerUnavailable("the server at this address does not speak AMQP 0-9-1")
        finally:
            writer.close()
    connection = await aiormq.connect(url)
    await connection.close()


async def _postgres(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=_TIMEOUT)
    try:
        await connection.fetchval("select 1")
    finally:
        await connection.close()


async def _redis(url: str) -> None:
    client = redis.asyncio.from_url(url, socket_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0))
    try:
        await client.ping()
    finally:
        await client.aclose()

"""Real servers for tests, each run in a corner of its own, emptied between tests."""

import asyncio
import contextlib
import fcntl
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import aiormq
import asyncpg
import pytest
import redis.asyncio

from batchyard_contracts.topology import QUEUES, quarantine_queue, work_queues
from devstack import Servers, Stack, StackError, default_home
from devstack.choice import choose
from devstack.component import COMPONENTS
from devstack.machine import Machine
from tests.support.containers import start_containers

WORKLOADS = Path(__file__).parents[2] / "services" / "worker" / "workloads"
_CORNERS = 8


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Give an empty virtual host, database and Redis database on servers that are started, or found running.

    Containers where a Docker engine is the way, else what `devstack` chooses. Servers that were given by their
    addresses are used as they are: name none whose content matters.
    """
    home = default_home()
    with contextlib.ExitStack() as containers, _corner(home) as corner:
        environment = dict(os.environ)
        try:
            choices = asyncio.run(choose(COMPONENTS, environment, Machine()))
            urls = start_containers([name for name, choice in choices.items() if choice.way == "docker"], containers)
            environment |= {COMPONENTS[name].variable: url for name, url in urls.items()}
            stack = Stack(home, print, environment=environment)
            servers = asyncio.run(_start(stack, corner))
        except StackError as error:
            do_without(str(error))
        try:
            yield servers
        finally:
            asyncio.run(stack.release())


async def empty(servers: Servers) -> None:
    """Delete every message, every row and every key, and keep queues and tables."""
    await asyncio.gather(_purge(servers.amqp_url), _truncate(servers.database_url), _flush(servers.redis_url))


def do_without(reason: str) -> NoReturn:
    """Skip the test that needs servers, or fail it when CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so every server has to be there. {reason}", pytrace=False)
    pytest.skip(reason)


async def _start(stack: Stack, corner: str) -> Servers:
    await stack.start()
    return await stack.isolated(corner)


@contextlib.contextmanager
def _corner(home: Path) -> Iterator[str]:
    """Give a name that no other run of the tests holds at this moment."""
    home.mkdir(parents=True, exist_ok=True)
    for number in range(1, _CORNERS + 1):
        with (home / f"test{number}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"test{number}"
            return
    pytest.fail(f"{_CORNERS} other runs of the tests use {home} at this moment. Wait for one to end.", pytrace=False)


async def _purge(url: str) -> None:
    workloads = [found.name for found in pkgutil.iter_modules([str(WORKLOADS)])]
    known = [*QUEUES, *(queue for name in workloads for queue in (*work_queues(name), quarantine_queue(name)))]
    dead = [queue for queue in (each.dead_queue() for each in known) if queue is not None]
    connection = await aiormq.connect(url)
    try:
        for queue in (*known, *dead):
            channel = await connection.channel()
            # A queue that no service has declared yet is as empty as can be; the broker closes the channel over it.
            with contextlib.suppress(aiormq.exceptions.ChannelNotFoundEntity):
                await channel.queue_purge(queue.name)
                await channel.close()
    finally:
        await connection.close()


async def _truncate(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema') and tablename <> 'migrations'"
        )
        if rows:
            names = ", ".join(row["name"] for row in rows)
            await connection.execute(f"truncate {names} restart identity cascade")
    finally:
        await connection.close()


async def _flush(url: str) -> None:
    client = redis.asyncio.from_url(url)
    try:
        await client.flushdb()
    finally:
        await client.aclose()

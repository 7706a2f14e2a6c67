"""Real servers for tests: each file has a virtual host and databases of its own, which are emptied between tests."""

import asyncio
import contextlib
import fcntl
import os
import pkgutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
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
_PLACES = 32
OWNERS = ("default", "ann", "bob")
"""Owners that have a user of RabbitMQ of their own."""
Accounts = Mapping[str, Mapping[str, str]]
_purges: dict[str, Callable[[], Awaitable[bool]]] = {}
"""Functions by virtual host address that delete its messages in one call; AMQP needs a request for each queue."""
_accounts: dict[str, Callable[[], Awaitable[Accounts]]] = {}
"""Functions by virtual host address that create the accounts of services and owners."""


def whole_cluster_home() -> Path:
    """Return the home of the servers that tests may kill; no other run of the tests uses them."""
    return default_home() / "faults"


class IsolatedServers:
    """Started servers, on which each file of tests gets a virtual host, a database and a Redis database of its own."""

    def __init__(self, stack: Stack, place: str, given: Path | None, *, may_be_killed: bool) -> None:
        self._stack, self._place, self._given, self._may_be_killed = stack, place, given, may_be_killed
        self._made = 0

    @contextlib.contextmanager
    def isolated(self) -> Iterator[Servers]:
        """Yield addresses of an empty virtual host and empty databases, and delete these at the end.

        An external server that cannot be isolated is emptied, and no other process of the tests uses it meanwhile.
        """
        self._made += 1
        name = f"{self._place}_{self._made}"
        with _locked(self._given) if self._given else contextlib.nullcontext():
            servers = asyncio.run(self._stack.create_isolated(name))
            _purges[servers.amqp_url] = partial(self._stack.purge, name)
            _accounts[servers.amqp_url] = partial(self._stack.create_accounts, servers, OWNERS)
            try:
                if self._given:
                    asyncio.run(empty(servers))
                if not self._may_be_killed:
                    asyncio.run(_commit_without_disk(servers.database_url))
                yield servers
            finally:
                del _purges[servers.amqp_url], _accounts[servers.amqp_url]
                asyncio.run(self._stack.drop_isolated(name))

    def import_definitions(self, file: Path) -> None:
        """Give RabbitMQ users and rights; skip the test where that is not possible from here."""
        if not asyncio.run(self._stack.import_definitions(file)):
            pytest.skip("RabbitMQ runs elsewhere, so that it imports no definitions from here.")


@contextlib.contextmanager
def running_servers(home: Path, *, alone: bool = False) -> Iterator[IsolatedServers]:
    """Start servers, or find them running, and release them at the end; `alone` keeps other processes off.

    They are containers if there is a Docker engine, else the servers that `devstack` chooses. Servers that are named by
    their addresses are used as they are: name none whose content matters.
    """
    home.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        if alone:
            held.enter_context(_locked(home / "alone.lock"))
        place = held.enter_context(_place(home))
        environment = dict(os.environ)
        try:
            choices = asyncio.run(choose(COMPONENTS, environment, Machine()))
            given = any(choice.source == "given" for choice in choices.values())
            urls = start_containers([name for name, choice in choices.items() if choice.source == "docker"], held)
            environment |= {COMPONENTS[name].variable: url for name, url in urls.items()}
            stack = Stack(home, print, environment=environment)
            asyncio.run(stack.start())
        except StackError as error:
            do_without(str(error))
        try:
            asyncio.run(_tidy(stack, place))
            yield IsolatedServers(stack, place, home / "given.lock" if given else None, may_be_killed=alone)
        finally:
            asyncio.run(stack.release())


async def accounts_on(servers: Servers) -> Accounts:
    """Create a user with the least rights for each service and owner, and return its variables by name.

    On servers that are no isolated ones there are no accounts.
    """
    create = _accounts.get(servers.amqp_url)
    return await create() if create else {}


async def empty(servers: Servers) -> None:
    """Delete every message, every row and every key, and keep queues and tables."""
    await asyncio.gather(_purge(servers.amqp_url), _truncate(servers.database_url), _flush(servers.redis_url))


def do_without(reason: str) -> NoReturn:
    """Skip the test that needs servers, or fail it when CI is set."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so every server has to be there. {reason}", pytrace=False)
    pytest.skip(reason)


async def _tidy(stack: Stack, place: str) -> None:
    """Delete the databases that a killed run of the tests has left under this name."""
    for name in stack.isolated_names():
        if name.startswith(f"{place}_"):
            await stack.drop_isolated(name)


@contextlib.contextmanager
def _place(home: Path) -> Iterator[str]:
    """Yield a name that no other process of the tests uses at the same time."""
    for number in range(1, _PLACES + 1):
        with (home / f"test{number}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"test{number}"
            return
    pytest.fail(f"{_PLACES} other processes use {home} at this moment. Wait for one to end.", pytrace=False)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds this file, and hold it."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def _commit_without_disk(url: str) -> None:
    """Let no commit wait for the disk: nobody kills this PostgreSQL, which would lose the last commits."""
    connection = await asyncpg.connect(url)
    try:
        database = await connection.fetchval("select current_database()")
        await connection.execute(f'alter database "{database}" set synchronous_commit to off')
    finally:
        await connection.close()


async def _purge(url: str) -> None:
    if url in _purges and await _purges[url]():
        return
    workloads = [found.name for found in pkgutil.iter_modules([str(WORKLOADS)])]
    known = [*QUEUES, *(queue for name in workloads for queue in (*work_queues(name), quarantine_queue(name)))]
    dead = [queue for queue in (each.dead_queue() for each in known) if queue is not None]
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        for queue in (*known, *dead):
            try:
                await channel.queue_purge(queue.name)
            except aiormq.exceptions.ChannelNotFoundEntity:
                # No service has declared it yet, so it is as empty as can be; the broker closes the channel over it.
                channel = await connection.channel()
    finally:
        await connection.close()


async def _truncate(url: str) -> None:
    """Empty the tables that have rows: to truncate one costs ten times as much as to look at it."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema') and tablename <> 'migrations'"
        )
        looks = " union all ".join(f"select '{row['name']}' where exists (table {row['name']})" for row in rows)
        if filled := ", ".join(row[0] for row in await connection.fetch(looks or "select '' limit 0")):
            await connection.execute(f"truncate {filled} restart identity cascade")
    finally:
        await connection.close()


async def _flush(url: str) -> None:
    client = redis.asyncio.from_url(url)
    try:
        await client.flushdb()
    finally:
        await client.aclose()

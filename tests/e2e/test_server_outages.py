"""Servers that are away, blocked, full or frozen for some seconds, with two of each service and four clients.

Every request is answered, no process ends, every accepted batch succeeds, and work goes on without help.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from devstack import Name, Servers, Stack
from devstack.component import COMPONENTS
from tests.support.broker_alarm import memory_alarm
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import until
from tests.support.servers import whole_cluster_home
from tests.support.submitting_clients import submitting_clients

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]
Outage = Callable[[Cluster], AbstractAsyncContextManager[None]]
_SCHEMAS = ["ingest", "dispatcher", "aggregator", "notifier"]
_FULL_DISK = """
CREATE FUNCTION public.refuse_as_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """Two of each service, on servers that may be killed."""
    if any(os.environ.get(component.variable) for component in COMPONENTS.values()):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    async with running_cluster(servers, replicas=2) as running:
        yield running


async def _stack() -> Stack:
    stack = Stack(whole_cluster_home(), print)
    await stack.start()
    return stack


def _away(server: Name) -> Outage:
    @asynccontextmanager
    async def away(_: Cluster) -> AsyncIterator[None]:
        stack = await _stack()
        await stack.kill(server)
        try:
            yield
        finally:
            await stack.restart(server)

    return away


def _frozen(server: Name) -> Outage:
    @asynccontextmanager
    async def frozen(_: Cluster) -> AsyncIterator[None]:
        stack = await _stack()
        await stack.kill(server, signal.SIGSTOP)
        try:
            yield
        finally:
            await stack.kill(server, signal.SIGCONT)

    return frozen


@asynccontextmanager
async def _full_disk(cluster: Cluster) -> AsyncIterator[None]:
    """Refuse every write to a table in the way in which a full disk does."""
    database = await asyncpg.connect(cluster.servers.database_url)
    try:
        tables = await database.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1)", _SCHEMAS
        )
        await database.execute(_FULL_DISK)
        for (table,) in tables:
            await database.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION public.refuse_as_full()"
            )
        try:
            yield
        finally:
            await database.execute("DROP FUNCTION public.refuse_as_full CASCADE")
    finally:
        await database.close()


@asynccontextmanager
async def _alarm(_: Cluster) -> AsyncIterator[None]:
    async with memory_alarm():
        yield


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        pytest.param(_away("rabbitmq"), 15, id="the broker is away"),
        pytest.param(_alarm, 20, id="the broker has no memory left"),
        pytest.param(_away("postgres"), 10, id="the database is away"),
        pytest.param(_full_disk, 10, id="the disk of the database is full"),
        pytest.param(_frozen("redis"), 10, id="Redis is frozen"),
    ],
)
async def test_every_request_is_answered_and_nothing_accepted_is_lost(
    cluster: Cluster, outage: Outage, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    pids = cluster.pids()
    async with submitting_clients(cluster) as clients:
        async with outage(cluster):
            before = clients.statuses.total()
            await asyncio.sleep(seconds)  # the length of the outage
            answered = clients.statuses.total() - before
        ended = time.monotonic()
        await _until_more_batches_have_ended(cluster)
        resumed_s = round(time.monotonic() - ended, 2)
    record_property("resumed_s", resumed_s)
    print(f"answers {dict(clients.statuses)}, {answered} during the outage; batches ended {resumed_s} s after it")  # noqa: T201
    assert clients.failures == {}
    assert set(clients.statuses) <= {202, 503}
    assert answered > 0
    await clients.all_succeed()
    assert cluster.pids() == pids


async def _until_more_batches_have_ended(cluster: Cluster) -> None:
    ended = "SELECT count(*) FROM aggregator.batches WHERE finished_at IS NOT NULL"
    database = await asyncpg.connect(cluster.servers.database_url)
    try:
        before = await database.fetchval(ended)
        await until(lambda: database.fetchval(ended), lambda number: number != before)
    finally:
        await database.close()


async def test_batches_succeed_while_redis_is_frozen(cluster: Cluster) -> None:
    async with submitting_clients(cluster) as clients, _frozen("redis")(cluster):
        await clients.finish_one()

"""A running cluster with keys, a browser, and visits that fail for whatever a reader should not meet."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from batchyard_contracts.api_keys import new_api_key
from devstack import Servers
from tests.support.chromium import START_FLAGS, chromium_program
from tests.support.cluster import running_cluster
from tests.support.dashboard_visit import Visit, sign_in, visiting
from tests.support.keyed_cluster import OWNER, KeyedCluster
from tests.support.servers import IsolatedServers


@pytest.fixture(scope="session")
def keyed_servers(shared_servers: IsolatedServers) -> Iterator[Servers]:
    """A virtual host, a database and a Redis database for the cluster."""
    with shared_servers.isolated() as isolated:
        yield isolated


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keyed(keyed_servers: Servers) -> AsyncIterator[KeyedCluster]:
    """The five services, whose API asks for keys."""
    operator_key = new_api_key("test")
    async with running_cluster(keyed_servers, {"BATCHYARD_OPERATOR_KEY": operator_key}, token=operator_key) as cluster:
        first = KeyedCluster(cluster, operator_key, "")
        yield KeyedCluster(cluster, operator_key, await first.create_key(OWNER, "Ann's laptop"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, for all tests."""
    program = chromium_program()
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=list(START_FLAGS))
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser, keyed: KeyedCluster) -> AsyncIterator[Visit]:
    """A visit without a session."""
    async with visiting(browser, keyed.url) as visit:
        yield visit
        assert visit.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, keyed: KeyedCluster) -> AsyncIterator[Visit]:
    """A visit of the owner."""
    async with visiting(browser, keyed.url) as visit:
        await sign_in(visit, keyed.owner_key)
        yield visit
        assert visit.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def operator(browser: Browser, keyed: KeyedCluster) -> AsyncIterator[Visit]:
    """A visit of the operator."""
    async with visiting(browser, keyed.url) as visit:
        await sign_in(visit, keyed.operator_key)
        yield visit
        assert visit.faults == []

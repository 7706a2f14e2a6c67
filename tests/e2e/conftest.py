"""One running cluster for all end-to-end tests, gone before other tests use the same servers.

A test that needs a cluster of its own is under `integration`: two clusters on the same servers would share their work.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.servers import empty


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services as processes, on empty servers."""
    await empty(servers)
    async with running_cluster(servers) as running:
        yield running

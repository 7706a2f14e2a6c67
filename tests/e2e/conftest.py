"""The running cluster of each file of end-to-end tests, gone before the next file begins."""

from collections.abc import AsyncIterator

import pytest_asyncio

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services as processes, on the servers of the file."""
    async with running_cluster(servers) as running:
        yield running

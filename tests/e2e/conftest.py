"""The running cluster that the files of end-to-end tests share within one process of the tests."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
import pytest_asyncio

from devstack import Servers
from devstack.component import COMPONENTS
from tests.support.cluster import Cluster, running_cluster
from tests.support.servers import IsolatedServers


def _scope(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    """Share the cluster between files, unless the files have to take turns on servers that were given by address."""
    given = any(os.environ.get(component.variable) for component in COMPONENTS.values())
    return "module" if given else "session"


@pytest.fixture(scope=_scope)
def cluster_servers(shared_servers: IsolatedServers) -> Iterator[Servers]:
    """A virtual host, a database and a Redis database for the cluster."""
    with shared_servers.isolated() as isolated:
        yield isolated


@pytest_asyncio.fixture(scope=_scope, loop_scope="session")
async def cluster(cluster_servers: Servers) -> AsyncIterator[Cluster]:
    """The five services as processes on these servers."""
    async with running_cluster(cluster_servers) as running:
        yield running

"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest

from devstack import Servers
from tests.support.servers import empty, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """RabbitMQ, PostgreSQL and Redis: skipped where they cannot be had, but a failure when CI is set."""
    with running_servers() as found:
        yield found


@pytest.fixture
async def clean(servers: Servers) -> Servers:
    """The same servers, with no message, no row and no key left from other tests."""
    await empty(servers)
    return servers

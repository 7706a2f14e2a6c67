"""One running yard for all end-to-end tests, gone before other tests use the same servers.

A test that needs a yard of its own stands under `integration`: two yards on the same servers would share their work.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from devstack import Servers
from tests.support.servers import empty
from tests.support.yard import Yard, running_yard


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def yard(servers: Servers) -> AsyncIterator[Yard]:
    """The five services as processes, on empty servers."""
    await empty(servers)
    async with running_yard(servers) as running:
        yield running

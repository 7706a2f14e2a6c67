"""Fixtures that every folder of tests may use, and the order in which files run."""

import asyncio
import functools
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from devstack import Servers, default_home
from tests.support.patience import TEST_LIMIT_S
from tests.support.servers import IsolatedServers, empty, running_servers, whole_cluster_home

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
"""Hypothesis has no deadline, because the time of an example depends on the machine. Growth is tested as a ratio."""


def pytest_configure() -> None:
    """Let the programs that tests start take SIGINT, and clients use the broker's guest as their user.

    A shell that runs the tests in the background has SIGINT ignored, which every process that they start would inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["BATCHYARD_ANONYMOUS_OWNER"] = "default"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, lest one of them runs alone at the end; in other respects keep the order."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if any(mark.name == "faults" for mark in item.own_markers):
            raise pytest.UsageError(f"{item.nodeid}: `faults` marks whole files, whose servers it chooses.")
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj)


def _limited(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return the test with an end, so that one that hangs fails alone, and its traceback says what it waited for."""

    @functools.wraps(test)
    async def limited(*arguments: object, **fixtures: object) -> None:
        async with asyncio.timeout(TEST_LIMIT_S):
            await test(*arguments, **fixtures)

    return limited


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[IsolatedServers]:
    """RabbitMQ, PostgreSQL and Redis. Without them tests are skipped, or fail if CI is set."""
    with running_servers(default_home()) as found:
        yield found


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[IsolatedServers]:
    """Servers for a test that kills or blocks them; no other process uses these."""
    with running_servers(whole_cluster_home(), alone=True) as found:
        yield found


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """A virtual host, a database and a Redis database for one file, on shared servers or on servers of its own."""
    faults = request.node.get_closest_marker("faults") is not None
    isolated_servers: IsolatedServers = request.getfixturevalue("whole_cluster" if faults else "shared_servers")
    with isolated_servers.isolated() as isolated:
        yield isolated


@pytest.fixture
async def clean(servers: Servers) -> Servers:
    """The servers of the file without messages, rows or keys of its other tests."""
    await empty(servers)
    return servers

"""Kill -9 of each service and each server in the middle of a batch: every item ends once, the batch finishes once."""

import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack import Name, Servers, Stack
from tests.support.cluster import Cluster, running_cluster
from tests.support.interrupted_batch import ends_once, in_the_middle
from tests.support.servers import whole_cluster_home

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services on servers that may be killed."""
    async with running_cluster(servers) as running:
        yield running


@pytest.mark.parametrize("service", ["ingest", "dispatcher", "worker-1", "aggregator", "notifier"])
async def test_a_killed_service_loses_no_item(cluster: Cluster, service: str) -> None:
    batch_id = await in_the_middle(cluster)
    before = cluster.supervisor.pid(service)
    cluster.supervisor.kill(service, signal.SIGKILL)
    await ends_once(cluster, batch_id)
    await cluster.supervisor.ready(service)
    assert cluster.supervisor.pid(service) != before


async def test_a_kill_of_all_services_loses_no_item(cluster: Cluster) -> None:
    batch_id = await in_the_middle(cluster)
    for service in ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier"):
        cluster.supervisor.kill(service, signal.SIGKILL)
    await ends_once(cluster, batch_id)


async def test_a_stopping_worker_returns_its_items(cluster: Cluster) -> None:
    batch_id = await in_the_middle(cluster)
    cluster.supervisor.kill("worker-2", signal.SIGTERM)
    await ends_once(cluster, batch_id)
    await cluster.supervisor.ready("worker-2")


@pytest.mark.parametrize("server", ["rabbitmq", "postgres", "redis"])
async def test_a_killed_server_comes_back(cluster: Cluster, server: Name) -> None:
    if os.environ.get(f"BATCHYARD_{ {'rabbitmq': 'AMQP', 'postgres': 'DATABASE', 'redis': 'REDIS'}[server] }_URL"):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    stack = Stack(whole_cluster_home(), print)
    await stack.start()
    services = ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier")
    before = {name: cluster.supervisor.pid(name) for name in services}
    batch_id = await in_the_middle(cluster)
    await stack.kill(server)
    await stack.restart(server)
    await ends_once(cluster, batch_id)
    assert {name: cluster.supervisor.pid(name) for name in services} == before, "no service had to be restarted"

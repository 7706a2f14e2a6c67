"""Kill -9 of each service and each server in the middle of a batch: every item ends once, the batch finishes once."""

import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from batchyard_contracts import topology
from batchyard_contracts.http import AsyncHttpClient
from batchyard_contracts.v1.flow import ChunkReturned
from devstack import Name, Servers, Stack
from tests.support.cluster import Cluster, running_cluster
from tests.support.interrupted_batch import TOTAL, ends_once, in_the_middle
from tests.support.message_recorder import recorded_messages
from tests.support.servers import whole_cluster_home

SERVICES = ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier")
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
    before = cluster.pids()
    for service in SERVICES:
        cluster.supervisor.kill(service, signal.SIGKILL)
    await ends_once(cluster, batch_id)
    for service in SERVICES:
        await cluster.supervisor.ready(service)
        assert cluster.supervisor.pid(service) != before[service]


@pytest.mark.parametrize("order", ["ordinal", "completion"])
async def test_followed_results_outlive_kills(cluster: Cluster, order: str) -> None:
    """The client goes on by its cursor: each item comes once, whichever process served the stream."""
    batch_id, killed = await in_the_middle(cluster), iter(("ingest", "aggregator", "ingest", "aggregator"))
    before, ordinals = cluster.pids(), list[int]()
    async with AsyncHttpClient(cluster.urls[0]) as client:
        async for item in client.results(batch_id, follow=True, order=order):
            ordinals.append(item.ordinal)
            if len(ordinals) % 120 == 0 and (service := next(killed, None)) is not None:
                cluster.supervisor.kill(service, signal.SIGKILL)
    assert next(killed, None) is None
    assert sorted(ordinals) == list(range(TOTAL))
    if order == "ordinal":
        assert ordinals == sorted(ordinals)
    await ends_once(cluster, batch_id)
    for service in ("ingest", "aggregator"):
        assert cluster.supervisor.pid(service) != before[service]


async def test_a_stopping_worker_returns_its_items(cluster: Cluster) -> None:
    async with recorded_messages(cluster.servers.amqp_url, topology.FLOW, ChunkReturned) as recorder:
        batch_id = await in_the_middle(cluster)
        before, worker = list(recorder.messages), f"-{cluster.supervisor.pid('worker-2')}-"
        cluster.supervisor.kill("worker-2", signal.SIGTERM)
        await recorder.until(ChunkReturned, lambda one: worker in one.worker_id and one not in before)
    await ends_once(cluster, batch_id)
    await cluster.supervisor.ready("worker-2")


@pytest.mark.parametrize("server", ["rabbitmq", "postgres", "redis"])
async def test_a_killed_server_comes_back(cluster: Cluster, server: Name) -> None:
    if os.environ.get(f"BATCHYARD_{ {'rabbitmq': 'AMQP', 'postgres': 'DATABASE', 'redis': 'REDIS'}[server] }_URL"):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    stack = Stack(whole_cluster_home(), print)
    await stack.start()
    before = cluster.pids()
    batch_id = await in_the_middle(cluster)
    await stack.kill(server)
    await stack.restart(server)
    await ends_once(cluster, batch_id)
    assert cluster.pids() == before, "no service had to be restarted"

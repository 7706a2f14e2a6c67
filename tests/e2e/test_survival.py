"""Tests of kill -9 during a batch: every item ends once, and the batch finishes once."""

import asyncio
import os
import signal

import pytest

from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import Notifications
from devstack import Name, Stack, default_home
from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTAL = 600
ITEMS = [{"n": n, "sleep_s": 0.3} for n in range(TOTAL)]


async def _in_the_middle(cluster: Cluster) -> object:
    """Submit a batch and return its id after some of its items have ended."""
    receipt = await cluster.client.submit("noop", ITEMS, notify=Notifications(webhooks=[cluster.webhooks.url]))
    async with asyncio.timeout(30), cluster.client.events(receipt.batch_id) as events:
        async for event in events:
            if isinstance(event, BatchProgressed) and 0 < event.counts.ended < TOTAL / 2:
                return receipt.batch_id
    raise AssertionError("It ended before it could be disturbed.")


async def _ends_once(cluster: Cluster, batch_id: object) -> None:
    finished = await cluster.client.wait(batch_id, 60)  # type: ignore[arg-type]
    assert (finished.result, finished.counts.succeeded) == ("completed", TOTAL)
    await cluster.check_ledger(finished.batch_id, TOTAL)
    async with asyncio.timeout(30):
        while not cluster.finished_calls(finished.batch_id):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1, 30)
    assert len(cluster.finished_calls(finished.batch_id)) == 1


@pytest.mark.parametrize("service", ["ingest", "dispatcher", "worker-1", "aggregator", "notifier"])
async def test_a_killed_service_loses_no_item(cluster: Cluster, service: str) -> None:
    batch_id = await _in_the_middle(cluster)
    before = cluster.supervisor.pid(service)
    cluster.supervisor.kill(service, signal.SIGKILL)
    await _ends_once(cluster, batch_id)
    await cluster.supervisor.ready(service)
    assert cluster.supervisor.pid(service) != before


async def test_a_kill_of_all_services_loses_no_item(cluster: Cluster) -> None:
    batch_id = await _in_the_middle(cluster)
    for service in ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier"):
        cluster.supervisor.kill(service, signal.SIGKILL)
    await _ends_once(cluster, batch_id)


async def test_a_stopping_worker_returns_its_items(cluster: Cluster) -> None:
    batch_id = await _in_the_middle(cluster)
    cluster.supervisor.kill("worker-2", signal.SIGTERM)
    await _ends_once(cluster, batch_id)
    await cluster.supervisor.ready("worker-2")


@pytest.mark.parametrize("server", ["rabbitmq", "postgres", "redis"])
async def test_a_killed_server_comes_back(cluster: Cluster, server: Name) -> None:
    if os.environ.get(f"BATCHYARD_{ {'rabbitmq': 'AMQP', 'postgres': 'DATABASE', 'redis': 'REDIS'}[server] }_URL"):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    stack = Stack(default_home(), print)
    await stack.start()
    services = ("ingest", "dispatcher", "worker-1", "worker-2", "aggregator", "notifier")
    before = {name: cluster.supervisor.pid(name) for name in services}
    batch_id = await _in_the_middle(cluster)
    await stack.kill(server)
    await stack.restart(server)
    await _ends_once(cluster, batch_id)
    assert {name: cluster.supervisor.pid(name) for name in services} == before, "no service had to be restarted"

"""Tests of kill -9 of each service during a batch: every item ends once, and the batch finishes once."""

import signal

import pytest

from tests.support.cluster import Cluster
from tests.support.interrupted_batch import ends_once, in_the_middle

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]


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

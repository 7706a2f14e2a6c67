"""Three RabbitMQ nodes, each in turn dead: batches are accepted and finish all the same."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from uuid import UUID

import pytest
import pytest_asyncio

from batchyard_contracts.client.errors import NoReply
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import PATIENCE_S, until
from tests.support.rabbit_cluster import NODES, RabbitCluster, rabbit_cluster

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]
log = logging.getLogger(__name__)
DEAD_S = 30.0
"""Time in seconds for which each node stays dead: longer than all that recovers by itself."""
ITEMS = [{"n": n} for n in range(40)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def brokers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RabbitCluster]:
    async with rabbit_cluster(Path(tmp_path_factory.mktemp("brokers"))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers, brokers: RabbitCluster) -> AsyncIterator[Cluster]:
    """The five services on three nodes."""
    async with running_cluster(replace(servers, amqp_url=brokers.url)) as running:
        yield running


async def run_over_http(cluster: Cluster, name: str) -> UUID:
    """Submit a batch at the door, and wait for its end there too."""
    body = {"workload": "noop", "name": name, "items": [{"payload": item} for item in ITEMS]}
    async with cluster.http.post("batches", json=body) as response:
        assert response.status == 202
        batch_id = UUID((await response.json())["batch_id"])

    async def has_finished() -> bool:
        async with cluster.http.get(f"batches/{batch_id}") as response:
            return response.status == 200 and (await response.json())["status"] == "finished"

    await until(has_finished, pause_s=0.1)
    return batch_id


async def run_over_amqp(cluster: Cluster, key: str) -> UUID:
    """Submit a batch, again if no reply came, and wait for its end."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                accepted = await cluster.client.submit("noop", ITEMS, idempotency_key=key)
                break
            except NoReply:
                continue
        await cluster.client.wait(accepted.batch_id)
    return accepted.batch_id


@pytest.mark.parametrize("node", range(NODES))
async def test_a_dead_node_stops_nobody(cluster: Cluster, brokers: RabbitCluster, node: int) -> None:
    before = {name: cluster.supervisor.pid(name) for name in ("ingest", "dispatcher", "worker-1", "aggregator")}
    running = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.05} for n in range(4000)])

    await brokers.kill(node)
    died = monotonic()
    batches = [await run_over_http(cluster, f"{node}-first")]  # it ends while the node is dead
    took = monotonic() - died
    has_lasted = False
    while not has_lasted:
        has_lasted = monotonic() - died >= DEAD_S
        batches.append(await run_over_http(cluster, f"{node}-{len(batches)}"))
        batches.append(await run_over_amqp(cluster, f"{node}-{len(batches)}"))
    await brokers.restart(node)

    log.info("node %d: first batch after %.1f s, %d batches while it was dead", node, took, len(batches))
    for batch_id in batches:
        await cluster.check_ledger(batch_id, len(ITEMS))
    assert (await cluster.client.wait(running.batch_id, PATIENCE_S)).result == "completed"
    assert {name: cluster.supervisor.pid(name) for name in before} == before

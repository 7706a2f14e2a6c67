"""Services of the oldest compatible commit beside those of today, as while one version replaces another."""

import asyncio
import signal
from collections.abc import AsyncIterator
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.interrupted_batch import ends_once, in_the_middle
from tests.support.older_tree import environment_of, older_tree
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]
ITEMS = [{"payload": {"n": n, "sleep_s": 0.01, "fail_attempts": n % 2}} for n in range(200)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One of each service of the older commit, and then one of each of today."""
    tree = older_tree(tmp_path_factory.mktemp("older"))
    if not (tree / "shared" / "messaging" / "bundles.py").is_file():
        pytest.skip("Services from before bundles cannot run beside those of today: move `compatible-since`.")
    async with running_cluster(servers, workers=1, older=environment_of(tree)) as running:
        yield running


async def test_batches_succeed_by_every_door(cluster: Cluster) -> None:
    for url in cluster.urls:
        async with aiohttp.ClientSession(f"{url}/api/v1/") as http:
            batches = [await submitted(http) for _ in range(5)]
        for batch_id in batches:
            finished = await cluster.client.wait(batch_id, PATIENCE_S)
            assert (finished.result, finished.counts.succeeded) == ("completed", len(ITEMS))
            await cluster.check_ledger(batch_id, len(ITEMS))


async def submitted(http: aiohttp.ClientSession) -> UUID:
    async with http.post("batches", json={"workload": "noop", "items": ITEMS}) as response:
        assert response.status == 202
        return UUID((await response.json())["batch_id"])


async def test_a_batch_that_the_older_services_began_ends_by_those_of_today(cluster: Cluster) -> None:
    batch_id = await in_the_middle(cluster)
    older = [name for name in cluster.names if name.startswith("older-")]
    assert len(older) == 5
    for name in older:
        cluster.supervisor.kill(name, signal.SIGTERM)
        await asyncio.sleep(0.5)  # one after the other, as an orchestrator does
    await ends_once(cluster, batch_id)
    assert cluster.defects() == []

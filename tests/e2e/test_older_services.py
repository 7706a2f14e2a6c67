"""Services of the oldest compatible commit beside those of today, as while one version replaces another."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.interrupted_batch import ends_once, in_the_middle
from tests.support.older_tree import environment_of, older_tree
from tests.support.patience import PATIENCE_S
from tests.support.servers import IsolatedServers

pytestmark = pytest.mark.faults
ITEMS = [{"payload": {"n": n, "sleep_s": 0.01, "fail_attempts": n % 2}} for n in range(200)]


@pytest.fixture
def new_servers(whole_cluster: IsolatedServers) -> Iterator[Servers]:
    """Databases without a schema: the older services start on none that those of today have migrated."""
    with whole_cluster.isolated() as isolated:
        yield isolated


@pytest.fixture
async def cluster(new_servers: Servers, tmp_path: Path) -> AsyncIterator[Cluster]:
    """One of each service of the older commit, and then one of each of today."""
    tree = older_tree(tmp_path)
    if not (tree / "shared" / "messaging" / "bundles.py").is_file():
        pytest.skip("Services from before bundles cannot run beside those of today: move `compatible-since`.")
    async with running_cluster(new_servers, workers=1, older=environment_of(tree)) as running:
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
    for name in older:  # one after the other, as an orchestrator does
        await cluster.supervisor.stop_program(name)
    await ends_once(cluster, batch_id)
    running = {name for name, pid in cluster.pids().items() if pid is not None}
    assert running == set(cluster.names) - set(older)
    assert cluster.defects() == []

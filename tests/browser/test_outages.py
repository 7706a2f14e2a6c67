"""A page that is watched goes on when a replica is killed, and while Redis is away."""

import os
import re
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from batchyard_contracts.api_keys import new_api_key
from devstack import Servers, Stack
from devstack.component import COMPONENTS
from tests.support.cluster import running_cluster
from tests.support.dashboard_visit import Visit, sign_in, visiting
from tests.support.failover_proxy import failover_proxy
from tests.support.keyed_cluster import OWNER, KeyedCluster
from tests.support.patience import PATIENCE_S
from tests.support.servers import whole_cluster_home

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]
PATIENCE_MS = PATIENCE_S * 1000
SLOW = [{"n": n, "sleep_s": 0.05} for n in range(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(servers: Servers) -> AsyncIterator[KeyedCluster]:
    """Two of each service, on servers that may be killed."""
    if any(os.environ.get(component.variable) for component in COMPONENTS.values()):
        pytest.skip("The servers were given by their addresses: they are not ours to kill.")
    key = new_api_key("test")
    async with running_cluster(servers, {"BATCHYARD_OPERATOR_KEY": key}, token=key, replicas=2) as cluster:
        first = KeyedCluster(cluster, key, "")
        yield KeyedCluster(cluster, key, await first.create_key(OWNER))


@pytest_asyncio.fixture(loop_scope="session")
async def balanced(browser: Browser, replicas: KeyedCluster) -> AsyncIterator[Visit]:
    """A visit of the owner, whose connections go to a replica that lives. Nothing in the page may fail for good."""
    async with failover_proxy(replicas.cluster.urls) as url, visiting(browser, url) as visit:
        await sign_in(visit, replicas.owner_key)
        yield visit
        assert [fault for fault in visit.faults if fault.startswith("error:")] == []


async def test_a_watched_batch_goes_on_when_the_replica_behind_the_page_is_killed(
    balanced: Visit, replicas: KeyedCluster
) -> None:
    page = balanced.page
    batch_id = await replicas.submit(SLOW, name="Watched", rate={"per_second": 30})
    await balanced.go(f"/batches/{batch_id}")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text(re.compile(r"^[1-9]\d* succeeded"))).to_be_visible(timeout=PATIENCE_MS)
    replicas.cluster.supervisor.kill("ingest", signal.SIGKILL)
    await expect(page.get_by_text("reconnecting", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(balanced.state("completed")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("600 succeeded")).to_be_visible()


async def test_without_redis_a_batch_is_watched_and_the_overview_says_that_it_is_away(
    balanced: Visit, replicas: KeyedCluster
) -> None:
    page = balanced.page
    stack = Stack(whole_cluster_home(), print)
    await stack.start()
    batch_id = await replicas.submit(SLOW[:300], name="Without Redis", rate={"per_second": 20})
    await balanced.go(f"/batches/{batch_id}")
    await stack.kill("redis")
    try:
        await expect(balanced.state("completed")).to_be_visible(timeout=PATIENCE_MS)
        await balanced.go("/")
        system = page.get_by_role("region", name="System")
        redis = system.get_by_role("listitem").filter(has_text="Redis")
        await expect(redis).to_contain_text("away", timeout=PATIENCE_MS)
    finally:
        await stack.restart("redis")
    await expect(redis).to_contain_text("up", timeout=PATIENCE_MS)

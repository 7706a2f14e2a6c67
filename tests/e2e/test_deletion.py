"""A deleted batch is gone from every table of every service, whichever is killed meanwhile, and others stay."""

import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from batchyard_contracts.v1.values import NewItem, Notifications
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import until, until_true

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.faults]
ITEMS = 3000
MARK = "a-secret-of-somebody"
KEPT = {"aggregator.batches", "dispatcher.withdrawn", "ingest.batches", "ingest.deletions", "notifier.deleted"}
"""Tables that remember the id of a deleted batch, so that it does not come back."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services on servers of their own."""
    async with running_cluster(servers) as running:
        yield running


async def ended(cluster: Cluster, mark: str) -> UUID:
    """Run a batch to its end whose name, items, results and receivers contain a mark."""
    items = [
        NewItem(custom_id=f"{mark}-{n}", payload={"n": n} if n % 100 else {"n": n, "fail": "no_luck"})
        for n in range(ITEMS)
    ]
    notify = Notifications(webhooks=[f"{cluster.webhooks.url}?{mark}"])
    accepted = await cluster.client.submit("noop", items, name=mark, notify=notify)
    await cluster.client.wait(accepted.batch_id, timeout_s=60)
    await until_true(lambda: cluster.finished_calls(accepted.batch_id))
    return accepted.batch_id


async def tables_with(cluster: Cluster, text: str) -> set[str]:
    """Return the tables of all services with a row that contains a text, in a text, in JSON or in bytes."""
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        tables = await connection.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
            "WHERE schemaname IN ('ingest', 'dispatcher', 'aggregator', 'notifier')"
        )
        found = set()
        for table in (row["name"] for row in tables):
            hexadecimal = text.encode().hex()
            if await connection.fetchval(
                f"SELECT 1 FROM {table} AS t WHERE t::text LIKE $1 OR t::text LIKE $2 LIMIT 1",
                f"%{text}%",
                f"%{hexadecimal}%",
            ):
                found.add(table)
        return found
    finally:
        await connection.close()


async def deletion(cluster: Cluster, batch_id: UUID) -> dict[str, Any]:
    async with cluster.http.get(f"batches/{batch_id}/deletion") as response:
        found: dict[str, Any] = await response.json() if response.status == 200 else {}
        return found


@pytest.mark.parametrize("killed", ["", "dispatcher", "aggregator", "notifier", "ingest"])
async def test_nothing_of_a_deleted_batch_is_left_whoever_is_killed(cluster: Cluster, killed: str) -> None:
    mark, other = f"{MARK}-{killed or 'nobody'}", f"other-of-{killed or 'nobody'}"
    batch_id, kept = await ended(cluster, mark), await ended(cluster, other)
    before = await tables_with(cluster, other)
    assert {"ingest.batches", "dispatcher.pages", "aggregator.outcomes", "notifier.deliveries"} <= await tables_with(
        cluster, mark
    )
    async with cluster.http.delete(f"batches/{batch_id}") as response:
        assert response.status == 202, await response.text()
    if killed:
        cluster.supervisor.kill(killed, signal.SIGKILL)
        await cluster.supervisor.ready(killed)

    async def proof() -> dict[str, Any]:
        try:
            return await deletion(cluster, batch_id)
        except OSError:  # ingest comes back
            return {}

    found = await until(proof, lambda one: "completed_at" in one)
    assert found["deleted"]["aggregator"]["outcomes"] == ITEMS
    assert found["deleted"]["dispatcher"]["pages"] >= 1
    assert found["deleted"]["notifier"] == {"deliveries": 1, "rounds": 1}
    assert await tables_with(cluster, mark) <= {"ingest.audit"}, "the audit has a retention of its own"
    await until(  # the request is deleted from the outbox once it is confirmed
        lambda: tables_with(cluster, str(batch_id)), lambda found: found <= KEPT | {"ingest.audit"}
    )
    assert await tables_with(cluster, other) >= before - {"ingest.outbox"}
    await cluster.check_ledger(kept, ITEMS)

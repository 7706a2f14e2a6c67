"""A batch that waits says why, and one that cannot end is found, mended where that is possible, and reported."""

import signal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from batchyard_contracts.v1.values import Counts
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import PATIENCE_S, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
OPERATOR = "operator@b.example"
SETTINGS = {"BATCHYARD_WORKER_TIMEOUT_S": "3", "BATCHYARD_OPERATOR_EMAILS": OPERATOR}


async def _submit(cluster: Cluster) -> tuple[UUID, str | None]:
    """Submit two items; return the batch and the reason to wait that the answer names."""
    body = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(2)]}
    async with cluster.http.post("batches", json=body) as answer:
        accepted: dict[str, Any] = await answer.json()
    return UUID(accepted["batch_id"]), accepted.get("waiting", {}).get("code")


async def _shown(cluster: Cluster, batch_id: UUID) -> str | None:
    """The reason to wait that the batch shows."""
    async with cluster.http.get(f"batches/{batch_id}") as answer:
        shown: dict[str, Any] = await answer.json()
    code: str | None = shown.get("waiting", {}).get("code")
    return code


async def _until_shown(cluster: Cluster, batch_id: UUID, code: str | None) -> None:
    await until(lambda: _shown(cluster, batch_id), lambda shown: shown == code, pause_s=0.1)


async def _lose(cluster: Cluster, table: str, *batches: UUID) -> None:
    """Delete rows of the dispatcher as if their messages had never come, and have it read its tables again."""
    connection = await asyncpg.connect(cluster.servers.database_url)
    try:
        await connection.execute(f"DELETE FROM dispatcher.{table} WHERE batch_id = ANY ($1)", batches)
    finally:
        await connection.close()
    cluster.supervisor.kill("dispatcher", signal.SIGKILL)
    await cluster.supervisor.ready("dispatcher")


async def test_batches_that_wait_say_why_and_those_that_are_stuck_are_found(servers: Servers) -> None:
    async with running_cluster(servers, SETTINGS, workers=1) as cluster:
        cluster.supervisor.kill("worker", signal.SIGSTOP)
        await until(lambda: _submit(cluster), lambda answer: answer[1] == "no_worker", pause_s=0.5)
        waiting, headless, pageless = [(await _submit(cluster))[0] for _ in range(3)]
        for batch_id in (waiting, headless, pageless):
            await _until_shown(cluster, batch_id, "no_worker")
        await _lose(cluster, "pages", pageless)
        await _lose(cluster, "batches", headless)
        await _until_shown(cluster, pageless, "stuck")
        await _until_shown(cluster, headless, "no_worker")  # its header was sent again
        cluster.supervisor.kill("worker", signal.SIGCONT)
        for batch_id in (waiting, headless):
            assert (await cluster.client.wait(batch_id, PATIENCE_S)).result == "completed"
        (letter,) = await cluster.mailbox.wait_for(1)
        assert letter.message["Subject"] == f"noop: batch {pageless} is stuck"
        await cluster.client.control(pageless, "cancel")
        end = await cluster.client.wait(pageless, PATIENCE_S)
        assert (end.result, end.counts) == ("cancelled", Counts(total=2, cancelled=2))

"""Tests of the summary of a batch through all services, also when a worker or the aggregator is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from batchyard_contracts.v1.values import Notifications
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLUGIN = Path(__file__).parents[1] / "support" / "sums"
TOTAL = 2500
"""More than two pages of results."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """Run all services with workers that have the workload `sums`."""
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")])),
        "BATCHYARD_WORKER_WORKLOADS": '["noop", "sums"]',
    }
    async with running_cluster(servers, environment, known=["sums"]) as running:
        yield running


def numbers(total: int = 100, **odd: Any) -> list[dict[str, Any]]:
    """Return this many numbers, one of them with special fields."""
    items: list[dict[str, Any]] = [{"n": n} for n in range(total)]
    items[total // 2] |= odd
    return items


def made(total: int, without: int | None = None) -> dict[str, Any]:
    chosen = [n for n in range(total) if n != without]
    return {"sum": sum(chosen), "numbers": len(chosen), "in_order": True}


async def test_client_http_webhook_and_query_return_the_summary(cluster: Cluster) -> None:
    notify = Notifications(webhooks=[cluster.webhooks.url], emails=["ann@example.test"])
    receipt = await cluster.client.submit("sums", numbers(TOTAL), notify=notify)
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.summary, finished.summary_error) == ("completed", made(TOTAL), None)
    assert (await cluster.client.batch(receipt.batch_id)).summary == made(TOTAL)
    async with cluster.http.get(f"batches/{receipt.batch_id}") as response:
        assert (await response.json())["summary"] == made(TOTAL)
    async with cluster.http.get("batches") as response:
        assert (await response.json())["batches"][0]["summary"] is None, "a list leaves it out"
    async with cluster.http.get("workloads/sums") as response:
        assert (await response.json())["summary_schema"]["title"] == "Sum"
    async with asyncio.timeout(PATIENCE_S):
        while not cluster.finished_calls(receipt.batch_id):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1)
    assert [call.summary for call in cluster.finished_calls(receipt.batch_id)] == [made(TOTAL)]


async def test_each_round_has_its_own_summary(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("sums", numbers(fails_at_first=True))
    first = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (first.result, first.summary) == ("partial", made(100, without=50))
    await cluster.client.control(receipt.batch_id, "retry")
    second = await cluster.client.wait(receipt.batch_id, PATIENCE_S, since_round=2)
    assert (second.result, second.round, second.summary) == ("completed", 2, made(100))


async def test_a_failed_summary_does_not_delay_the_end(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("sums", numbers(spoils=True))
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.summary) == ("completed", None)
    assert finished.summary_error == "The summary of sums failed at item 50: ValueError: spoilt"
    assert (await cluster.client.batch(receipt.batch_id)).summary_error == finished.summary_error


async def test_a_batch_without_successes_has_no_summary(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("sums", [{"n": 1, "fails_at_first": True}])
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.summary, finished.summary_error) == ("failed", None, None)


async def held_up(cluster: Cluster, gate: Path) -> tuple[UUID, int]:
    """Submit a batch that lacks only its summary; return its id and the process that makes the summary."""
    receipt = await cluster.client.submit("sums", numbers(gate=str(gate)))
    return receipt.batch_id, await maker(gate, set())


async def maker(gate: Path, others: set[int]) -> int:
    """Return the process that makes the summary and is none of these."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for file in gate.parent.glob(f"{gate.name}.*"):
                if (pid := int(file.suffix[1:])) not in others:
                    return pid
            await asyncio.sleep(0.02)  # a file has no event


async def test_another_worker_completes_the_summary_of_a_killed_one(cluster: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    batch_id, pid = await held_up(cluster, gate)
    assert (await cluster.client.batch(batch_id)).counts.remaining == 0
    os.kill(pid, signal.SIGKILL)
    await maker(gate, {pid})
    gate.touch()
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.summary) == ("completed", made(100))
    await cluster.check_ledger(batch_id, 100)


async def test_a_killed_aggregator_receives_the_summary_after_its_restart(cluster: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    batch_id, _ = await held_up(cluster, gate)
    cluster.supervisor.kill("aggregator", signal.SIGKILL)
    gate.touch()
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.summary) == ("completed", made(100))
    await cluster.supervisor.ready("aggregator")

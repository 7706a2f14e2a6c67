"""Tests of terms that change while a batch runs, by each interface, and of how a batch ends by them."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import FailureThreshold, Terms
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOTAL = 10_000
"""At two seconds each and two hundred at a time they would take a hundred."""


async def _running(cluster: Cluster, **options: Any) -> UUID:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 2.0} for n in range(TOTAL)], **options)
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(receipt.batch_id) as events:
        if (await cluster.client.batch(receipt.batch_id)).counts.ended:  # before anybody listened
            return receipt.batch_id
        async for event in events:
            if isinstance(event, BatchProgressed) and event.counts.ended:
                return receipt.batch_id
    raise AssertionError


async def _by_amqp(cluster: Cluster, batch_id: UUID) -> None:
    await cluster.client.control(batch_id, "change", terms=Terms(deadline=datetime.now(UTC) + timedelta(seconds=2)))


async def _by_http(cluster: Cluster, batch_id: UUID) -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    async with cluster.http.patch(f"batches/{batch_id}", json={"deadline": deadline}) as response:
        assert response.status == 202


async def _by_cli(cluster: Cluster, batch_id: UUID) -> None:
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    command = ("-m", "services.cli", "--url", url, "change", str(batch_id), "--deadline", "10s", "--json")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("change", [_by_amqp, _by_http, _by_cli])
async def test_a_deadline_set_while_running_expires_the_remaining_items(cluster: Cluster, change: Any) -> None:
    batch_id = await _running(cluster)
    await change(cluster, batch_id)
    deadline = None
    async with asyncio.timeout(PATIENCE_S):
        while deadline is None:  # until the ledger has it as well
            deadline = (await cluster.client.batch(batch_id)).terms.deadline
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.stop_reason) == ("partial", "deadline")
    assert finished.counts.succeeded + finished.counts.expired == TOTAL
    assert finished.finished_at >= deadline
    assert finished.counts.expired > TOTAL / 10, "it did not wait until all had run"
    await cluster.check_ledger(batch_id, TOTAL)


async def test_a_failure_threshold_stops_the_batch_and_keeps_the_results(cluster: Cluster) -> None:
    items = [{"n": n, "sleep_s": 0.05, "fail_attempts": 50 if n % 2 else 0} for n in range(TOTAL)]
    threshold = Terms(failure_threshold=FailureThreshold(count=20), retry={"default": {"attempts": 1}})
    receipt = await cluster.client.submit("noop", items, terms=threshold)
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.stop_reason) == ("cancelled", "failure_threshold")
    assert finished.counts.failed > 20
    assert finished.counts.succeeded > 0
    assert finished.counts.cancelled > TOTAL / 2
    await cluster.check_ledger(receipt.batch_id, TOTAL)
    assert (await cluster.client.batch(receipt.batch_id)).terms == threshold


async def test_an_urgent_batch_of_ten_passes_a_long_one(cluster: Cluster) -> None:
    long = await _running(cluster)
    urgent = await cluster.client.submit("noop", [{"n": n} for n in range(10)], priority="immediate")
    finished = await cluster.client.wait(urgent.batch_id, PATIENCE_S)
    assert finished.counts.succeeded == 10
    assert (await cluster.client.batch(long)).counts.remaining > TOTAL / 2
    await cluster.client.control(long, "cancel")
    await cluster.client.wait(long, PATIENCE_S)

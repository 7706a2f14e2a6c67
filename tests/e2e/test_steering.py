"""Tests of pause, resume, cancel, retry, change and append by the client."""

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest

from batchyard_contracts.client import BatchRefused, UnknownBatch
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit
from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, Counts, NewItem
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _progress(cluster: Cluster, batch_id: UUID) -> Counts:
    """The counts as soon as an item has ended."""
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(batch_id) as events:
        with suppress(UnknownBatch):
            counts = (await cluster.client.batch(batch_id)).counts  # what was told before anybody listened
            if counts.ended:
                return counts
        async for event in events:
            if isinstance(event, BatchProgressed) and event.counts.ended:
                return event.counts
    raise AssertionError


async def _settles(cluster: Cluster, batch_id: UUID) -> Counts:
    """Wait until the counts have not changed for half a second, which means that no item runs; return them."""
    counts = (await cluster.client.batch(batch_id)).counts
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await asyncio.sleep(0.5)  # standing still can only be seen over time
            later = (await cluster.client.batch(batch_id)).counts
            if later == counts:
                return counts
            counts = later


async def test_a_paused_batch_stops_until_it_is_resumed(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.1} for n in range(3000)])
    await _progress(cluster, receipt.batch_id)
    await cluster.client.control(receipt.batch_id, "pause")
    stood = await _settles(cluster, receipt.batch_id)
    assert 0 < stood.ended < 3000
    assert (await cluster.client.batch(receipt.batch_id)).status == "paused"
    await cluster.client.control(receipt.batch_id, "resume")
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert finished.counts.succeeded == 3000


async def test_a_cancelled_batch_ends_at_once_and_keeps_its_results(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 1.0} for n in range(3000)])
    await _progress(cluster, receipt.batch_id)
    await cluster.client.control(receipt.batch_id, "cancel")
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    counts = finished.counts
    assert finished.result == "cancelled"
    assert counts.cancelled > 0
    assert counts.succeeded > 0
    assert counts.succeeded + counts.cancelled == 3000
    await cluster.check_ledger(receipt.batch_id, 3000)


async def test_retry_runs_failed_items_in_a_new_round(cluster: Cluster) -> None:
    items = [{"n": n} for n in range(20)] + [{"n": n, "fail_attempts": 5} for n in range(5)]
    receipt = await cluster.client.submit("noop", items)
    first = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (first.round, first.result, first.counts.failed) == (1, "partial", 5)
    await cluster.client.control(receipt.batch_id, "retry")
    second = await cluster.client.wait(receipt.batch_id, PATIENCE_S, since_round=2)
    assert (second.round, second.counts.succeeded, second.counts.failed) == (2, 20, 5)
    rounds = [r.round async for r in cluster.client.results(receipt.batch_id)]
    assert rounds == [1] * 20 + [2] * 5
    await cluster.check_ledger(receipt.batch_id, 25)


async def test_only_a_finished_batch_can_be_retried(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": 1, "sleep_s": 1.0}])
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.control(receipt.batch_id, "retry")
    assert caught.value.status == 409
    await cluster.client.wait(receipt.batch_id, PATIENCE_S)


async def test_an_immediate_batch_overtakes_a_normal_one(cluster: Cluster) -> None:
    long = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.05} for n in range(6000)])
    await _progress(cluster, long.batch_id)
    urgent = await cluster.client.submit("noop", [{"n": 1}], priority="immediate")
    await cluster.client.wait(urgent.batch_id, PATIENCE_S)
    assert (await cluster.client.batch(long.batch_id)).counts.remaining > 0
    await cluster.client.control(long.batch_id, "cancel")
    await cluster.client.wait(long.batch_id, PATIENCE_S)


async def test_items_may_follow_until_the_batch_is_sealed(cluster: Cluster) -> None:
    opened = await cluster.client.send(BatchSubmit(workload="noop", items=[NewItem(payload={"n": 1})], sealed=False))
    for sequence in (0, 1, 1):  # the second one twice: it is the same append
        await cluster.client.send(
            BatchAppend(batch_id=opened.batch_id, sequence=sequence, items=[NewItem(payload={"n": sequence + 2})])
        )
    await _progress(cluster, opened.batch_id)
    await cluster.client.send(BatchSeal(batch_id=opened.batch_id))
    finished = await cluster.client.wait(opened.batch_id, PATIENCE_S)
    assert (finished.counts.total, finished.counts.succeeded) == (3, 3)


async def test_more_items_than_one_command_holds_become_one_batch(cluster: Cluster) -> None:
    total = MAX_ITEMS_PER_COMMAND * 2 + 7
    receipt = await cluster.client.submit("noop", ({"n": n} for n in range(total)))
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert finished.counts.succeeded == total
    await cluster.check_ledger(receipt.batch_id, total)


async def test_workers_report_their_workloads(cluster: Cluster) -> None:
    async with cluster.http.get("workers") as response:
        workers = (await response.json())["workers"]
    assert sum("noop" in worker["workloads"] for worker in workers) >= 2, "others may have run a file of their own"

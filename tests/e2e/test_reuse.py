"""Tests that batches reuse each other's results, and that nothing is lost when Redis is flushed."""

import pytest
import redis.asyncio

from batchyard_contracts.client import UnknownBatch
from batchyard_contracts.v1.commands import BatchSeal, BatchSubmit
from batchyard_contracts.v1.values import Dedup, NewItem, Reuse
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]
ATTACH = Reuse(dedup=Dedup(mode="attach", ttl_s=60))
PAGE = {"url": "https://www.1001tracklists.com/tracklist/9reuse1/x.html", "html": "<html><body>nothing</body></html>"}


async def test_batches_attach_to_running_items_and_take_their_results(cluster: Cluster) -> None:
    items = [{"n": n, "sleep_s": 0.3} for n in range(1000, 1020)]
    receipts = [await cluster.client.submit("noop", items, reuse=ATTACH) for _ in range(3)]
    ends = [await cluster.client.wait(receipt.batch_id, PATIENCE_S) for receipt in receipts]
    assert [end.counts.succeeded for end in ends] == [20] * 3
    assert sum(end.counts.cached for end in ends) == 40, "each item ran once"
    for receipt in receipts:
        await cluster.check_ledger(receipt.batch_id, 20)
        async for item in cluster.client.results(receipt.batch_id):
            assert item.result == {"n": items[item.ordinal]["n"] ** 2}


async def test_a_flushed_redis_only_costs_another_run(cluster: Cluster) -> None:
    items = [{"n": n, "sleep_s": 0.5} for n in range(2000, 2010)]
    receipts = [await cluster.client.submit("noop", items, reuse=ATTACH) for _ in range(2)]
    memory = redis.asyncio.Redis.from_url(cluster.servers.redis_url)
    await memory.flushdb()
    await memory.aclose()
    for receipt in receipts:
        end = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
        assert (end.result, end.counts.succeeded) == ("completed", 10)
        await cluster.check_ledger(receipt.batch_id, 10)


async def test_items_of_a_running_batch_are_rejected_in_a_later_one(cluster: Cluster) -> None:
    reuse = Reuse(dedup=Dedup(mode="reject"))
    first = await cluster.client.send(
        BatchSubmit(workload="tracklists", items=[NewItem(payload=PAGE)], sealed=False, dedup=reuse.dedup)
    )

    async def ended() -> int:
        try:
            return len([item async for item in cluster.client.results(first.batch_id)])
        except UnknownBatch:  # the ledger has not heard of it yet
            return 0

    await until(ended)  # an open batch and a whole one travel on queues of their own, in no order
    second = await cluster.client.submit(
        "tracklists", [PAGE, PAGE | {"url": PAGE["url"].replace("reuse1", "reuse2")}], reuse=reuse
    )
    end = await cluster.client.wait(second.batch_id, PATIENCE_S)
    assert (end.counts.total, end.counts.duplicate) == (2, 1)
    (duplicate,) = [item async for item in cluster.client.results(second.batch_id, status="duplicate")]
    assert (duplicate.duplicate_of_batch, duplicate.duplicate_of) == (first.batch_id, 0)
    await cluster.client.send(BatchSeal(batch_id=first.batch_id))
    await cluster.client.wait(first.batch_id, PATIENCE_S)
    third = await cluster.client.submit("tracklists", [PAGE], reuse=reuse)
    assert (await cluster.client.wait(third.batch_id, PATIENCE_S)).counts.duplicate == 0

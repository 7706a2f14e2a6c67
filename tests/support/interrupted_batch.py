"""A batch that is disturbed in its middle, and must end all the same: every item once, the batch once."""

import asyncio
from uuid import UUID

from batchyard_contracts.v1.events import BatchProgressed
from batchyard_contracts.v1.values import Notifications
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

TOTAL = 600
ITEMS = [{"n": n, "sleep_s": 0.3} for n in range(TOTAL)]


async def in_the_middle(cluster: Cluster) -> UUID:
    """Submit a batch and return its id when some of it has ended."""
    receipt = await cluster.client.submit("noop", ITEMS, notify=Notifications(webhooks=[cluster.webhooks.url]))
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(receipt.batch_id) as events:
        async for event in events:
            if isinstance(event, BatchProgressed) and 0 < event.counts.ended < TOTAL:
                return receipt.batch_id
    raise AssertionError("It ended before it could be disturbed.")


async def ends_once(cluster: Cluster, batch_id: UUID) -> None:
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded) == ("completed", TOTAL)
    await cluster.check_ledger(finished.batch_id, TOTAL)
    async with asyncio.timeout(PATIENCE_S):
        while not cluster.finished_calls(finished.batch_id):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1)
    assert len(cluster.finished_calls(finished.batch_id)) == 1

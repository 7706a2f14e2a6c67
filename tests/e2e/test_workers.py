"""Workers share what there is to do, and say how they are kept busy."""

import asyncio
from collections import Counter

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import ChunkProcessed
from batchyard_contracts.v1.queries import WorkersReply
from batchyard_contracts.v1.values import NewItem
from tests.support.yard import Yard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_workers_share_a_batch_and_their_slots_grow_with_it(yard: Yard) -> None:
    by_worker: Counter[str] = Counter()
    opened = 0

    async def reported(message: AbstractIncomingMessage) -> None:
        report = ChunkProcessed.decode(message.body)
        by_worker[report.worker_id] += len(report.outcomes)

    connection = await aio_pika.connect(yard.servers.amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(FLOW, "chunk.processed.v1")
        await queue.consume(reported, no_ack=True)
        items = [NewItem(payload={"n": n, "sleep_s": 0.2}) for n in range(6000)]
        batch_id = (await yard.client.submit("noop", items)).batch_id
        ended = asyncio.create_task(yard.client.wait(batch_id, 60))
        while not ended.done():
            async with yard.http.get("workers") as response:
                workers = WorkersReply.decode(await response.read()).workers
            opened = max(opened, min(worker.slots["noop"].open for worker in workers))
            await asyncio.wait({ended}, timeout=0.2)
        assert (await ended).result == "completed"
    assert len(by_worker) == 2
    assert min(by_worker.values()) > 6000 / 4
    assert opened == 100

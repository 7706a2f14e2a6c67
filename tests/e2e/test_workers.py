"""Tests that workers share the load and report their slots."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import ChunkProcessed
from batchyard_contracts.v1.queries import WorkersReply
from batchyard_contracts.v1.values import NewItem
from shared.messaging.bundles import deliveries
from tests.support.cluster import Cluster, until_announced
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]


async def test_two_workers_share_a_batch_and_their_slots_grow_with_it(cluster: Cluster) -> None:
    by_worker: Counter[str] = Counter()
    opened = 0

    async def reported(message: AbstractIncomingMessage) -> None:
        for delivery in deliveries(message):
            report = ChunkProcessed.decode(delivery.body)
            by_worker[report.worker_id] += len(report.outcomes)

    connection = await aio_pika.connect(cluster.servers.amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(FLOW, "chunk.processed.v1")
        await queue.consume(reported, no_ack=True)
        items = [NewItem(payload={"n": n, "sleep_s": 0.2}) for n in range(6000)]
        batch_id = (await cluster.client.submit("noop", items)).batch_id
        ended = asyncio.create_task(cluster.client.wait(batch_id, PATIENCE_S))
        while not ended.done():
            async with cluster.http.get("workers") as response:
                slots = [worker.slots.get("noop") for worker in WorkersReply.decode(await response.read()).workers]
            sizes = [slot.open for slot in slots if slot is not None]  # workers of other files have other workloads
            if len(sizes) == 2:  # the first heartbeat may come before the workload
                opened = max(opened, min(sizes))
            await asyncio.wait({ended}, timeout=0.2)
        assert (await ended).result == "completed"
    assert len(by_worker) == 2
    assert min(by_worker.values()) > 6000 / 4
    assert opened == 100


KINDS = """
import os
from pydantic import BaseModel
from batchyard_contracts.workload import Workload

class Number(BaseModel):
    n: int

class Made(BaseModel):
    n: int
    pid: int

about = dict(version="1", item=Number, result=Made, description="Squares.", example={"n": 2})
plain, whole, apart = (Workload(f"own-{kind}", **about) for kind in ("plain", "whole", "apart"))

@plain.handler
def in_thread(item, context):
    return Made(n=item.n * item.n, pid=os.getpid())

@whole.chunk_handler
async def by_chunk(items, contexts):
    return [Made(n=item.n * item.n, pid=os.getpid()) for item in items]

@apart.handler(cpu_bound=True)
def in_process(item, context):
    if item.n == 7:
        os._exit(9)
    return Made(n=item.n * item.n, pid=os.getpid())
"""


async def test_a_workload_file_with_every_kind_of_handler_runs(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "own_kinds.py"
    file.write_text(KINDS, "utf-8")
    argv = (sys.executable, "-m", "services.cli", "workload", "run", str(file))
    environment = {**os.environ, **cluster.servers.environment(), "BATCHYARD_HEALTH_PORT": "0"}
    process = await asyncio.create_subprocess_exec(*argv, env=environment)
    try:
        for kind in ("plain", "whole", "apart"):
            await until_announced(cluster.http, f"own-{kind}")
            receipt = await cluster.client.submit(f"own-{kind}", [NewItem(payload={"n": n}) for n in range(6)])
            assert (await cluster.client.wait(receipt.batch_id, PATIENCE_S)).result == "completed"
            results = [item.result async for item in cluster.client.results(receipt.batch_id)]
            assert [result["n"] for result in results] == [n * n for n in range(6)]
        receipt = await cluster.client.submit("own-apart", [NewItem(payload={"n": n}) for n in (6, 7, 8)])
        finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
        assert (finished.counts.succeeded, finished.counts.failed) == (2, 1)
        failures = await cluster.client.failures(receipt.batch_id)
        assert [group.code for group in failures] == ["process_died"]
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)

"""Takes wanted summaries from the queues of the workloads that make them, one of each workload at a time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from batchyard_contracts import topology
from batchyard_contracts.v1.work import SummaryRequested
from services.worker.execution.item_runner import Runner
from services.worker.summaries.summary_runner import Summarist
from shared.messaging.consumer import Consumer, Route
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient


@asynccontextmanager
async def summarizing(url: str, runners: Sequence[Runner], publisher: Publisher, worker_id: str) -> AsyncIterator[None]:
    """Make summaries while the block runs, if any of these workloads has one. What is in hand at its end is broken off:
    another worker makes it anew."""
    able = {runner.workload.name: runner for runner in runners if runner.workload.summary_definition}
    if not able:
        yield
        return
    questions = await RpcClient.open(url, "worker")
    try:
        summarist = Summarist(able, questions, publisher, worker_id)
        plane = Consumer(url, publisher, "worker-summaries")
        for name in able:
            plane.subscribe(topology.summary_queue(name), [Route(SummaryRequested, summarist.wanted)], at_once=1)
        await plane.start()
        try:
            yield
        finally:
            await plane.abandon()
    finally:
        await questions.close()

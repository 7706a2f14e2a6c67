"""Consumes summary requests of the workloads with a reducer, one of each workload at a time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from batchyard_contracts import topology
from batchyard_contracts.v1.work import SummaryRequested
from services.worker.execution.item_runner import ItemRunner
from services.worker.summaries.summary_runner import SummaryRunner
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient
from shared.runtime.health import Health


@asynccontextmanager
async def run_summaries(
    url: str, runners: Sequence[ItemRunner], publisher: Publisher, worker_id: str, health: Health
) -> AsyncIterator[None]:
    """Make summaries while the block runs, if any of these workloads has a reducer.

    Summaries that run at its end are aborted: another worker makes them.
    """
    by_name = {runner.workload.name: runner for runner in runners if runner.workload.summary_definition}
    if not by_name:
        yield
        return
    rpc_client = await RpcClient.open(url, "worker", exchange=topology.WORKER_INQUIRIES)
    try:
        summary_runner = SummaryRunner(by_name, rpc_client, publisher, worker_id)
        consumer = Consumer(url, publisher, "worker-summaries")
        for name in by_name:
            consumer.subscribe(
                topology.summary_queue(name),
                [Route(SummaryRequested, summary_runner.on_summary_requested)],
                concurrency=1,
            )
        health.add_readiness_check("summaries", lambda: consumer.is_working)
        await consumer.start()
        try:
            yield
        finally:
            await consumer.abandon()
    finally:
        await rpc_client.close()

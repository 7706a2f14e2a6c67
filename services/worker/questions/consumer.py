"""Consumes the questions to the workloads of this worker, a few of each at a time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from batchyard_contracts import topology
from batchyard_contracts.v1.queries import WorkloadQuery
from services.worker.execution.item_runner import ItemRunner
from services.worker.questions.limits import QuestionLimits
from services.worker.questions.owner_slots import OwnerSlots
from services.worker.questions.responder import QuestionResponder
from services.worker.settings import WorkerSettings
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient

_CONCURRENCY = 4
"""Number of requests of one question that run at once in this worker."""
_IN_HAND, _OF_OWNER = 100, 25
"""Requests of one question that this worker has read and not answered, and those of one client among them."""


@asynccontextmanager
async def answer_questions(
    settings: WorkerSettings, runners: Sequence[ItemRunner], publisher: Publisher, rpc_client: RpcClient
) -> AsyncIterator[None]:
    """Answer questions while the block runs, if any of these workloads has one; answer the last ones at its end."""
    asked = [runner for runner in runners if runner.workload.question_definitions]
    if not asked:
        yield
        return
    consumer = Consumer(
        settings.amqp_url,
        publisher,
        "worker-questions",
        anonymous_owner=settings.anonymous_owner,
        replies_by_default_exchange=settings.topology == "declare",  # else it may not write there
    )
    for runner in asked:
        workload = runner.workload
        limits = QuestionLimits(runner.manifest, runner.rate_gates, runner.backoff, rpc_client)
        for name, definition in workload.question_definitions.items():
            slots = OwnerSlots(_CONCURRENCY, _OF_OWNER)
            responder = QuestionResponder(workload.name, name, definition, runner.resources, limits, slots)
            consumer.subscribe(
                topology.question_queue(workload.name, name),
                [Route(WorkloadQuery, responder.on_workload_query)],
                concurrency=_IN_HAND,
            )
    await consumer.start()
    try:
        yield
    finally:
        await consumer.stop()

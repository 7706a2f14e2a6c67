"""Items and questions of one workload keep its limits together, by one dispatcher and one Redis."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from pydantic import BaseModel

from batchyard_contracts.message import Message
from batchyard_contracts.v1.commands import RatesControl
from batchyard_contracts.v1.manifest import CircuitRule, Manifest, Partition
from batchyard_contracts.v1.queries import LimitsQuery, WorkloadQuery
from batchyard_contracts.v1.values import Rate
from batchyard_contracts.v1.work import ChunkReady
from batchyard_contracts.workload import Context, Limits, Permanent, QuestionContext, Retry, Workload
from devstack import Servers
from services.worker.caching.result_cache import ResultCache
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from services.worker.limits.rate_gate import RateGates
from services.worker.questions.limits import QuestionLimits
from services.worker.questions.responder import QuestionResponder
from shared.messaging.publisher import Publisher
from shared.messaging.rpc_client import RpcClient
from shared.redis.client import RedisClient
from shared.redis.rate_reservations import LATENESS_S, RateReservations
from tests.support.chunk_runs import Recorder
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts
from tests.support.patience import PATIENCE_S

PER_SECOND, CONCURRENCY, ITEMS, QUESTIONS = 20.0, 3, 20, 15
OF_MANIFEST = Limits(concurrency=20, rate=Rate(per_second=PER_SECOND), partition_concurrency=CONCURRENCY)
OF_OPERATOR = Limits(concurrency=20)
"""No limits but those that an operator sets, which are those of `OF_MANIFEST`."""


class Number(BaseModel):
    """An item or a question, and its answer."""

    n: int = 0


class Destination:
    """The destination of items and questions; it notes when calls begin, and how many run at once."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.starts: list[float] = []
        self.refuses = False

    async def call(self, seconds: float) -> None:
        """Answer after some time."""
        if self.refuses:
            raise Permanent("http_401", "The key is wrong.", scope="provider")
        self.running += 1
        self.most = max(self.most, self.running)
        self.starts.append(time.monotonic())
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1


class Worker:
    """A worker that runs what the dispatcher sends, and answers questions."""

    def __init__(self, parts: Parts, memory: RedisClient, destination: Destination, limits: Limits) -> None:
        self.parts, self.destination = parts, destination
        work = Workload(
            "w",
            version="1",
            item=Number,
            result=Number,
            partition=Partition(pointer="/to"),
            limits=limits,
            retry=Retry(circuit=CircuitRule(base_s=60, cap_s=60) if limits == OF_MANIFEST else None),
        )

        @work.handler
        async def run(item: Number, _: Context) -> Number:
            await destination.call(0.25)
            return item

        @work.question("double", request=Number, answer=Number)
        async def double(request: Number, _: QuestionContext) -> Number:
            await destination.call(0.25)
            return Number(n=2 * request.n)

        gates, recorder = RateGates("w", RateReservations(memory)), Recorder()
        self.runner = ItemRunner(work, None, cast("Publisher", recorder), ResultCache(memory), "hand", rate_gates=gates)
        self.recorder, manifest = recorder, self.runner.manifest
        admission = QuestionLimits(manifest, gates, self.runner.backoff, cast("RpcClient", self))
        self.responder = QuestionResponder("w", "double", work.question_definitions["double"], None, admission)

    async def query(self, message: Message, _: object, *, timeout_s: float) -> Any:
        assert isinstance(message, LimitsQuery)
        return await self.parts.components.rate_api.on_limits_query(message, ENVELOPE)

    async def ask(self, number: int) -> Any:
        query = WorkloadQuery(workload="w", question="double", request={"n": number})
        reply = await self.responder.on_workload_query(query, ENVELOPE)
        return reply.answer or reply.error

    async def run(self, chunk: ChunkReady) -> None:
        """Run a chunk, and have its reports handled."""
        self.runner.unfinished += len(chunk.items)
        await ChunkExecution(self.runner, chunk, None, 0.01).run()
        for report in self.recorder.reports:
            if report.chunk_id == chunk.chunk_id:
                await self.parts.report(chunk, report.outcomes, final=report.final, feedback=report.feedback)


@pytest.fixture(params=[OF_MANIFEST, OF_OPERATOR], ids=["manifest", "operator"])
def limits(request: pytest.FixtureRequest) -> Limits:
    """The limits of the manifest; an operator sets the same ones where it has none."""
    return cast("Limits", request.param)


@pytest.fixture
async def worker(clean: Servers, limits: Limits) -> AsyncIterator[Worker]:
    memory = RedisClient(clean.redis_url, PATIENCE_S)
    async with dispatcher_parts(clean) as make:
        parts = make()
        found = Worker(parts, memory, Destination(), limits)
        manifest: Manifest = found.runner.manifest
        parts.state.set_manifest(manifest)
        parts.state.workload_queue("w").window.workers = 1
        if limits == OF_OPERATOR:
            rate = Rate(per_second=PER_SECOND)
            command = RatesControl(workload="w", action="set", rate=rate, concurrency=CONCURRENCY)
            await parts.rate_events.apply_control(command)
        yield found
    await memory.close()


async def test_items_and_questions_together_keep_rate_and_concurrency(worker: Worker) -> None:
    parts, destination, running = worker.parts, worker.destination, list[asyncio.Task[None]]()

    async def run_chunks() -> None:
        while len(worker.recorder.outcomes) < ITEMS:
            while len(running) < len(parts.outbox.chunks):
                running.append(asyncio.create_task(worker.run(parts.outbox.chunks[len(running)])))
            await asyncio.sleep(0.01)

    async with parts.dispatching(), asyncio.timeout(PATIENCE_S):
        await parts.add_batch({"": ITEMS})
        items = asyncio.create_task(run_chunks())
        asked = [asyncio.create_task(worker.ask(number)) for number in range(QUESTIONS)]
        answers = await asyncio.gather(*asked)
        await items
        await asyncio.gather(*running)
    assert answers == [{"n": 2 * number} for number in range(QUESTIONS)]
    assert {outcome.status for outcome in worker.recorder.outcomes.values()} == {"succeeded"}
    starts = sorted(destination.starts)
    assert len(starts) == ITEMS + QUESTIONS
    assert destination.most == CONCURRENCY, "as many as are allowed, and no more"
    for first, last in itertools.combinations(range(len(starts)), 2):
        assert starts[last] - starts[first] >= (last - first) / PER_SECOND - 2 * LATENESS_S
    assert parts.state.workload_queue("w").window.limits.limiters_of("")[0].in_flight == 0


@pytest.mark.parametrize("limits", [OF_MANIFEST], ids=["manifest"])
async def test_the_refusal_of_a_question_opens_the_circuit_for_items_and_questions(worker: Worker) -> None:
    worker.destination.refuses = True
    assert (await worker.ask(1)).code == "http_401"
    limiter = worker.parts.state.workload_queue("w").window.limits.limiters_of("")[0]
    assert (limiter.circuit.state, limiter.in_flight) == ("open", 0)
    worker.destination.refuses = False
    assert (await worker.ask(1)).code == "circuit_open"
    await worker.parts.add_batch({"": 1})
    while await worker.parts.dispatch_loop._dispatch_waiting() == 0:
        pass
    assert worker.parts.outbox.chunks == [], "its items wait"

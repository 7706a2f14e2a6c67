"""Runs items of a workload as a worker does, and returns the outcomes that it would report."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import ChunkProcessed, ItemOutcome
from batchyard_contracts.v1.queries import WorkloadQuery, WorkloadReply
from batchyard_contracts.v1.values import Reuse
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Workload
from services.worker.caching.result_cache import ResultCache
from services.worker.execution.chunk_execution import ChunkExecution
from services.worker.execution.item_runner import ItemRunner
from services.worker.questions.responder import QuestionResponder
from shared.messaging.publisher import OutgoingMessage, Publisher

GRACE_S = 2.0
_BATCH = UUID(int=0)
_LAG_EVERY_S = 0.01


class Bench:
    """One workload with its resources. Nothing is looked up in a cache, and nothing is published."""

    def __init__(self, workload: Workload[Any, Any], resources: object) -> None:
        self.workload = workload
        self._resources = resources

    async def run(self, payloads: Sequence[Any], limit_s: float | None = None) -> list[ItemOutcome]:
        """Return the outcomes of a chunk with these items; each has the same key in every run. `limit_s` replaces the
        time limit of the workload."""
        async with self._runner(limit_s) as (runner, reports):
            await self._chunk(runner, payloads).run()
            return _outcomes(reports)

    async def run_watched(self, payload: Any) -> tuple[ItemOutcome, float, float]:
        """Return the outcome of one item, its duration, and the longest time for which it blocked the event loop."""
        loop = asyncio.get_running_loop()
        lag, ended = 0.0, asyncio.Event()

        async def watch() -> None:
            nonlocal lag
            while not ended.is_set():
                before = loop.time()
                await asyncio.sleep(_LAG_EVERY_S)
                lag = max(lag, loop.time() - before - _LAG_EVERY_S)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        began = loop.time()
        (outcome,) = await self.run([payload])
        took = loop.time() - began
        ended.set()
        await watching
        return outcome, took, lag

    async def ask(self, question: str, request: dict[str, Any]) -> WorkloadReply:
        """Return the workload's reply to a question."""
        definition = self.workload.question_definitions[question]
        responder = QuestionResponder(self.workload.name, question, definition, self._resources)
        query = WorkloadQuery(workload=self.workload.name, question=question, request=request)
        return await responder.on_workload_query(query, Envelope(type=query.type, message_id=question))

    async def interrupt(self, payload: Any, after_s: float, *, cancel: bool) -> tuple[ItemOutcome, bool]:
        """Cancel an item, or let its time run out, `after_s` seconds after its start.

        Returns its outcome, and whether its handler ended after the interruption.
        """
        async with self._runner(None if cancel else after_s) as (runner, reports):
            run = self._chunk(runner, [payload])
            if cancel:
                asyncio.get_running_loop().call_later(after_s, lambda: run.stop(cancelled=True))
            await run.run()
            (outcome,) = _outcomes(reports)
            return outcome, runner.stuck_handlers == 0

    @asynccontextmanager
    async def _runner(
        self, item_timeout_s: float | None = None
    ) -> AsyncIterator[tuple[ItemRunner, list[ChunkProcessed]]]:
        reports = _Reports()
        runner = ItemRunner(
            self.workload,
            self._resources,
            cast("Publisher", reports),
            cast("ResultCache", None),
            "conformance",
            grace_s=GRACE_S,
            item_timeout_s=item_timeout_s,
        )
        await runner.start()
        try:
            yield runner, reports.seen
        finally:
            await runner.stop()

    def _chunk(self, runner: ItemRunner, payloads: Sequence[Any]) -> ChunkExecution:
        runner.unfinished += len(payloads)
        chunk = ChunkReady(
            chunk_id=_BATCH,
            fence=1,
            batch_id=_BATCH,
            owner="conformance",
            workload=self.workload.name,
            priority="normal",
            partition="",
            round=1,
            attempt=1,
            reuse=Reuse(cache="off"),
            items=[ChunkItem(ordinal=i, payload=payload) for i, payload in enumerate(payloads)],
        )
        return ChunkExecution(runner, chunk, None, 1.0)


class _Reports:
    """A publisher that collects the reports."""

    def __init__(self) -> None:
        self.seen: list[ChunkProcessed] = []

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self.seen.extend(ChunkProcessed.decode(message.body) for message in messages)


def _outcomes(reports: Sequence[ChunkProcessed]) -> list[ItemOutcome]:
    return sorted((o for report in reports for o in report.outcomes), key=lambda outcome: outcome.ordinal)

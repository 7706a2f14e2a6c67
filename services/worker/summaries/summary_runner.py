"""Answers `summary.requested.v1`: reads the results of a batch page by page, and reports their summary."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import TypeVar

import structlog
from pydantic import JsonValue

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import SummaryCompleted
from batchyard_contracts.v1.queries import MAX_PAGE, ResultsQuery
from batchyard_contracts.v1.work import SummaryRequested
from services.worker.execution.item_runner import Runner
from services.worker.summaries.reduction import NoSummary, Reduction
from services.worker.summaries.results import Page
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

log = structlog.get_logger()
T = TypeVar("T")
_AGAIN_S = 1.0


class Summarist:
    """Keeps one page in hand and one on its way, however many there are."""

    def __init__(
        self, runners: Mapping[str, Runner], questions: RpcClient, publisher: Publisher, worker_id: str
    ) -> None:
        self._runners = runners
        self._questions = questions
        self._publisher = publisher
        self._worker_id = worker_id

    async def wanted(self, wanted: SummaryRequested, _: Envelope) -> None:
        """Make it, report it; the request is acknowledged when the report is confirmed."""
        summary: JsonValue = None
        error: str | None = None
        try:
            async with asyncio.timeout(wanted.timeout_s):
                summary = await self._make(self._runners[wanted.workload], wanted)
        except NoSummary as reason:
            error = str(reason)
        except TimeoutError:
            error = (
                f"The summary of {wanted.workload} was not ready within {wanted.timeout_s:g} s. Let its `add` do less, "
                "or raise BATCHYARD_AGGREGATOR_SUMMARY_TIMEOUT_S of the aggregator."
            )
        log.info("summary made", batch_id=str(wanted.batch_id), round=wanted.round, error=error)
        made = SummaryCompleted(
            batch_id=wanted.batch_id,
            workload=wanted.workload,
            round=wanted.round,
            worker_id=self._worker_id,
            summary=summary,
            error=error,
        )
        await self._publisher.publish([outgoing(topology.FLOW, made, correlation_id=str(wanted.batch_id))])

    async def _make(self, runner: Runner, wanted: SummaryRequested) -> JsonValue:
        page = await self._page(wanted, 0 if wanted.has_source else -1)
        reduction = await _in_thread(runner, lambda _: Reduction(runner.workload))
        while True:
            rows, after = page.items, page.next_after
            coming = None if after is None else asyncio.create_task(self._page(wanted, after))
            try:
                await _in_thread(runner, lambda stop, rows=rows: reduction.take(rows, stop))  # type: ignore[misc]
                if coming is None:
                    return await _in_thread(runner, lambda _: reduction.done())
                page = await coming
            finally:
                if coming is not None:
                    coming.cancel()

    async def _page(self, wanted: SummaryRequested, after: int) -> Page:
        question = ResultsQuery(
            owner=wanted.owner, batch_id=wanted.batch_id, after=after, limit=MAX_PAGE, status="succeeded"
        )
        while True:
            try:
                page = await self._questions.ask(question, Page)
            except (QueryTimeout, QueryRefused, PublishFailed) as error:
                log.warning("asking for results again", batch_id=str(wanted.batch_id), error=str(error))
                await asyncio.sleep(_AGAIN_S)
                continue
            if not page.found:
                raise NoSummary("The ledger does not know the batch any more.")
            return page


async def _in_thread(runner: Runner, work: Callable[[Event], T]) -> T:
    """What `work` returns; a thread that ignores its interruption is given up after the grace of handlers."""
    stop = Event()
    task = asyncio.create_task(runner.threads.run(lambda: work(stop), stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=runner.grace_s)
        if not done:
            task.cancel()
            await asyncio.wait({task})
        with suppress(BaseException):
            task.result()  # nobody waits for it any more
        raise

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
from batchyard_contracts.v1.queries import MAX_PAGE, MAX_RESULTS, ResultsQuery, ResultsReply
from batchyard_contracts.v1.work import SummaryRequested
from services.worker.execution.item_runner import ItemRunner
from services.worker.summaries.reduction import Reduction, SummaryFailed
from services.worker.summaries.results import ResultPage
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

log = structlog.get_logger()
T = TypeVar("T")
_RETRY_DELAY_S = 1.0


class SummaryRunner:
    """Makes summaries; holds one page of results and prefetches the next one."""

    def __init__(
        self, runners: Mapping[str, ItemRunner], rpc_client: RpcClient, publisher: Publisher, worker_id: str
    ) -> None:
        self._runners = runners
        self._rpc_client = rpc_client
        self._publisher = publisher
        self._worker_id = worker_id

    async def on_summary_requested(self, request: SummaryRequested, _: Envelope) -> None:
        """Make the summary and publish it; the request is acknowledged when that is confirmed."""
        summary: JsonValue = None
        error: str | None = None
        try:
            async with asyncio.timeout(request.timeout_s):
                summary = await self._summarize(self._runners[request.workload], request)
        except SummaryFailed as reason:
            error = str(reason)
        except TimeoutError:
            error = (
                f"The summary of {request.workload} was not ready within {request.timeout_s:g} s. Let its `add` do "
                "less, or raise BATCHYARD_AGGREGATOR_SUMMARY_TIMEOUT_S of the aggregator."
            )
        log.info("summary made", batch_id=str(request.batch_id), round=request.round, error=error)
        completed = SummaryCompleted(
            batch_id=request.batch_id,
            workload=request.workload,
            round=request.round,
            worker_id=self._worker_id,
            summary=summary,
            error=error,
        )
        await self._publisher.publish([outgoing(topology.FLOW, completed, correlation_id=str(request.batch_id))])

    async def _summarize(self, runner: ItemRunner, request: SummaryRequested) -> JsonValue:
        page = await self._page(request, 0 if request.has_source else -1)
        reduction = await _in_thread(runner, lambda _: Reduction(runner.workload))
        while True:
            rows, after = page.items, page.next_after
            next_page = None if after is None else asyncio.create_task(self._page(request, after))
            try:
                await _in_thread(runner, lambda stop, rows=rows: reduction.add_rows(rows, stop))  # type: ignore[misc]
                if next_page is None:
                    return await _in_thread(runner, lambda _: reduction.finish())
                page = await next_page
            finally:
                if next_page is not None:
                    next_page.cancel()

    async def _page(self, request: SummaryRequested, after: int) -> ResultPage:
        query = ResultsQuery(
            owner=request.owner,
            batch_id=request.batch_id,
            after=after,
            limit=MAX_PAGE,
            max_items=MAX_RESULTS,
            status="succeeded",
        )
        while True:
            try:
                page = await self._rpc_client.query(query, ResultPage, older_type=ResultsReply.type)
            except (QueryTimeout, QueryRefused, PublishFailed) as error:
                log.warning("repeating a query for results", batch_id=str(request.batch_id), error=str(error))
                await asyncio.sleep(_RETRY_DELAY_S)
                continue
            if not page.found:
                raise SummaryFailed("The ledger does not know the batch any more.")
            return page


async def _in_thread(runner: ItemRunner, work: Callable[[Event], T]) -> T:
    """Return the result of `work`; a thread that ignores its interruption is abandoned after the grace time of
    handlers."""
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
            task.result()  # the result is not needed any more
        raise

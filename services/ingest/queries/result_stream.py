"""Reads the outcomes of a batch in pages that continue each other, and waits for further ones while it runs."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from batchyard_contracts.v1.queries import MAX_PAGE, StreamOrder, StreamQuery
from batchyard_contracts.v1.values import Cause, ErrorCode, TerminalStatus
from services.ingest.domain.ingest_error import IngestError
from services.ingest.progress.hub import Watcher
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_page import StreamedPage
from services.ingest.queries.result_reader import TRANSIENT_STATUSES, abandon, limited, size_of_next

PAUSE_S = 0.25
"""Shortest time between two questions while a batch runs, however often its progress is told."""
QUIET_S = 2.0
"""Seconds after which a batch without progress is asked for again, in case an event was missed."""
PATIENCE_S = 60.0
"""Seconds for which a stream that follows a batch waits while the aggregator does not answer."""
_READ_PATIENCE_S = 10.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamSelection:
    """Filter on outcomes: at most `limit` (None: all), after `cursor`, in an order."""

    owner: str
    batch_id: UUID
    order: StreamOrder
    cursor: str | None = None
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    cause: Cause | None = None
    custom_id: str | None = None
    round: int | None = None
    limit: int | None = None


class ResultStream:
    """Reader of one selection. It asks for a page while the one before is consumed: two are in memory at most."""

    def __init__(
        self, aggregator: AggregatorClient, selection: StreamSelection, progress: Watcher | None = None
    ) -> None:
        self._aggregator = aggregator
        self._selection = selection
        self._progress = progress
        """Progress of the batch, if the stream follows it until its end."""
        self._cursor = selection.cursor
        self._remaining = selection.limit

    async def pages(self) -> AsyncGenerator[StreamedPage, None]:
        """Yield pages, at least one; raises `IngestError` when the aggregator does not answer.

        While the stream follows a batch, a page without outcomes tells that there is nothing new.
        """
        asked = asyncio.create_task(self._ask(limited(MAX_PAGE, self._remaining)))
        try:
            while True:
                page = await asked
                self._cursor = page.cursor or self._cursor
                if self._remaining is not None:
                    self._remaining -= len(page.items)
                if self._is_last(page):
                    yield page
                    return
                size = limited(size_of_next(page) if page.items else MAX_PAGE, self._remaining)
                asked = asyncio.create_task(self._ask(size, wait=not page.has_more))
                yield page
        finally:
            await abandon(asked)

    def _is_last(self, page: StreamedPage) -> bool:
        if self._remaining is not None and self._remaining <= 0:
            return True
        return not page.has_more and (page.has_ended or self._progress is None)

    async def _ask(self, size: int, *, wait: bool = False) -> StreamedPage:
        """Return the next page; with `wait` when something may have changed."""
        if wait and self._progress is not None:
            await _something_new(self._progress)
        selection = self._selection
        query = StreamQuery(
            owner=selection.owner,
            batch_id=selection.batch_id,
            order=selection.order,
            cursor=self._cursor,
            without_gaps=self._progress is not None,
            max_items=size,
            status=selection.status,
            error_code=selection.error_code,
            cause=selection.cause,
            custom_id=selection.custom_id,
            round=selection.round,
        )
        patience_s = _READ_PATIENCE_S if self._progress is None else PATIENCE_S
        return await _patiently(lambda: self._aggregator.stream(query), patience_s)


async def _something_new(progress: Watcher) -> None:
    """Wait for progress, but neither a moment only nor for long."""
    await asyncio.sleep(PAUSE_S)
    await asyncio.wait([waiting := asyncio.create_task(progress.next())], timeout=QUIET_S)
    await abandon(waiting)


async def _patiently(ask: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Ask again while no answer comes, for so long."""
    clock = asyncio.get_running_loop().time
    until = clock() + patience_s
    while True:
        try:
            return await ask()
        except IngestError as error:
            if error.rejection.status not in TRANSIENT_STATUSES or clock() >= until:
                raise
        await asyncio.sleep(PAUSE_S)

"""Reads the outcomes of a batch page by page, one page ahead of their consumer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from batchyard_contracts.v1.queries import MAX_PAGE, MAX_RESULTS, ResultsQuery
from batchyard_contracts.v1.values import Cause, ErrorCode, TerminalStatus
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_page import ResultPage

FIRST_PAGE = 1000
"""Outcomes in the first page, whose size in bytes is not known before."""
_PAGE_BYTES = 1024 * 1024
"""Size in bytes that further pages have about."""
_MAX_ATTEMPTS = 3
TRANSIENT_STATUSES = {503, 504}


@dataclass(frozen=True, slots=True)
class ResultSelection:
    """Filter on outcomes: at most `limit` (None: all), with ordinals greater than `after`."""

    owner: str
    batch_id: UUID
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    after: int = -1
    limit: int | None = None
    cause: Cause | None = None


async def read_results(aggregator: AggregatorClient, selection: ResultSelection) -> AsyncIterator[ResultPage]:
    """Yield pages in the order of the ordinals, at least one. Raises `IngestError` when the aggregator does not
    answer.

    The next page is on its way while a page is consumed, so that two of them are in memory at most.
    """
    remaining = selection.limit
    asked = asyncio.create_task(_query(aggregator, selection, selection.after, limited(FIRST_PAGE, remaining)))
    try:
        while True:
            page = await asked
            if remaining is not None:
                remaining -= len(page.items)
            if page.next_after is None or remaining == 0:
                yield page
                return
            next_size = limited(size_of_next(page), remaining)
            asked = asyncio.create_task(_query(aggregator, selection, page.next_after, next_size))
            yield page
    finally:
        await abandon(asked)


async def next_after(aggregator: AggregatorClient, selection: ResultSelection, first: ResultPage) -> int | None:
    """Return the cursor that continues a selection behind its last outcome, of which `first` is the first page; None
    if it has no limit, or if there is nothing more."""
    if selection.limit is None or first.next_after is None or len(first.items) == selection.limit:
        return None if selection.limit is None else first.next_after
    last = await _query(aggregator, selection, selection.after, 1, skip=selection.limit - 1)
    return last.next_after


def limited(size: int, remaining: int | None) -> int:
    """Return the size of a page of which only so many outcomes are wanted."""
    return size if remaining is None else min(size, remaining)


def size_of_next(page: ResultPage) -> int:
    """Return the number of outcomes that have about `_PAGE_BYTES` if they are as large as those of this page."""
    return max(1, min(MAX_RESULTS, len(page.items) * _PAGE_BYTES // max(1, page.size())))


async def _query(
    aggregator: AggregatorClient, selection: ResultSelection, after: int, size: int, *, skip: int = 0
) -> ResultPage:
    query = ResultsQuery(
        owner=selection.owner,
        batch_id=selection.batch_id,
        after=after,
        limit=min(size, MAX_PAGE),
        max_items=size,
        skip=skip,
        status=selection.status,
        error_code=selection.error_code,
        cause=selection.cause,
    )
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return await aggregator.results(query)
        except IngestError as error:
            if error.rejection.status not in TRANSIENT_STATUSES:
                raise
    return await aggregator.results(query)


async def abandon(query: "asyncio.Task[Any]") -> None:
    """End a query whose page nobody will read."""
    query.cancel()
    await asyncio.wait({query})
    if not query.cancelled():
        query.exception()  # retrieved, so that asyncio does not log it: the reader has raised it, or is gone

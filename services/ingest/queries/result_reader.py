"""Reads the outcomes of a batch page by page, as fast as they are consumed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from batchyard_contracts.v1.queries import ResultsQuery
from batchyard_contracts.v1.values import Cause, ErrorCode, TerminalStatus
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_page import ResultPage

_PAGE_SIZE = 500
_MAX_ATTEMPTS = 3
_TRANSIENT_STATUSES = {503, 504}


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
    answer."""
    after, remaining = selection.after, selection.limit
    while True:
        page_limit = _PAGE_SIZE if remaining is None else min(_PAGE_SIZE, remaining)
        page = await _query(aggregator, selection, after, page_limit)
        yield page
        if remaining is not None:
            remaining -= len(page.items)
        if page.next_after is None or remaining == 0:
            return
        after = page.next_after


async def _query(aggregator: AggregatorClient, selection: ResultSelection, after: int, limit: int) -> ResultPage:
    query = ResultsQuery(
        owner=selection.owner,
        batch_id=selection.batch_id,
        after=after,
        limit=limit,
        status=selection.status,
        error_code=selection.error_code,
        cause=selection.cause,
    )
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return await aggregator.results(query)
        except IngestError as error:
            if error.rejection.status not in _TRANSIENT_STATUSES:
                raise
    return await aggregator.results(query)

"""Reads the outcomes of a batch page by page, for as long as somebody takes them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from batchyard_contracts.v1.queries import ResultsQuery, ResultsReply
from batchyard_contracts.v1.values import ErrorCode, ItemResult, TerminalStatus
from services.ingest.domain.refused import Refused
from services.ingest.queries.aggregator_client import Ledger

_PAGE = 500
_TRIES = 3
_PASSING = {503, 504}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which outcomes: at most `limit`, after the ordinal `after`."""

    owner: str
    batch_id: UUID
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    after: int = -1
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some outcomes, and where the next ones begin; None: there are no more now."""

    items: list[ItemResult]
    next_after: int | None


async def read(ledger: Ledger, selection: Selection) -> AsyncIterator[Page]:
    """Pages in the order of the ordinals; at least one. Raises `Refused` when the ledger stays silent."""
    after, left = selection.after, selection.limit
    while True:
        most = _PAGE if left is None else min(_PAGE, left)
        reply = await _ask(ledger, selection, after, most)
        yield Page(reply.items, reply.next_after)
        if left is not None:
            left -= len(reply.items)
        if reply.next_after is None or left == 0:
            return
        after = reply.next_after


async def _ask(ledger: Ledger, selection: Selection, after: int, limit: int) -> ResultsReply:
    query = ResultsQuery(
        owner=selection.owner,
        batch_id=selection.batch_id,
        after=after,
        limit=limit,
        status=selection.status,
        error_code=selection.error_code,
    )
    for _ in range(_TRIES - 1):
        try:
            return await ledger.results(query)
        except Refused as error:
            if error.fault.status not in _PASSING:
                raise
    return await ledger.results(query)

"""Reads the outcomes of a batch in parts that continue each other, also while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from batchyard_contracts.v1.queries import StreamQuery
from services.aggregator.domain.stream_position import StreamPosition
from services.aggregator.persistence.store import result_filters
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries

_SQL = load_queries("services.aggregator.persistence", "stream.sql")
_MOST_ENTRIES = 20_000
"""Outcomes that one query looks at where filters select few of them."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Key and round of a batch, and whether the round has ended."""

    key: int
    round: int
    has_ended: bool


@dataclass(frozen=True, slots=True)
class StreamPart:
    """Outcomes in their order, each with its place, and the place after all that were looked at."""

    rows: Sequence[asyncpg.Record]
    end: StreamPosition
    has_more: bool


class StreamStore:
    """Queries of the outcomes of one batch by place."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def state(self, batch_id: UUID, owner: str) -> StreamState | None:
        """Return the state of an owner's batch; None when there is no such batch."""
        row = await self._pool.fetchrow(_SQL["state"], batch_id, owner)
        return None if row is None else StreamState(row["id"], row["round"], row["has_ended"])

    async def part(self, state: StreamState, query: StreamQuery, after: StreamPosition, max_bytes: int) -> StreamPart:
        """Return the outcomes after a place that a query selects, about `max_bytes` at most but one at least."""
        filters = (query.status, query.error_code, query.cause, query.custom_id, query.round)
        is_earlier = query.round is not None and query.round < state.round
        without_gaps = query.without_gaps and not state.has_ended and not is_earlier
        by_ordinal = after.order == "ordinal"
        if by_ordinal and not without_gaps and query.round is None and query.custom_id is None:
            return await self._present(state, query, after, max_bytes)
        most = query.max_items if filters == (None,) * len(filters) else max(query.max_items, _MOST_ENTRIES)
        *rows, last = await self._pool.fetch(
            _SQL["by_ordinal" if by_ordinal else "by_completion"],
            state.key,
            after.major,
            without_gaps if by_ordinal else after.minor,
            most,
            query.max_items,
            max_bytes,
            *filters,
            is_earlier,
        )
        if len(rows) < last["outcomes"]:
            return StreamPart(rows, after.moved(rows[-1]["major"], rows[-1]["minor"]), has_more=True)
        end = after.moved(last["major"], last["minor"]) if last["entries"] else after
        return StreamPart(rows, end, has_more=last["entries"] == most)

    async def _present(
        self, state: StreamState, query: StreamQuery, after: StreamPosition, max_bytes: int
    ) -> StreamPart:
        """Return outcomes as they are now, whatever is missing between them: what filters select is found by index."""
        bounds = after.major, query.max_items, max_bytes
        rows = await self._pool.fetch(_SQL["present_by_ordinal"], state.key, *bounds, *result_filters(query))
        has_more = bool(rows) and rows[-1]["is_beyond"]
        page = rows[:-1] if has_more else rows
        return StreamPart(page, after.moved(page[-1]["major"], 0) if page else after, has_more)

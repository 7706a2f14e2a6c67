"""Answers queries for the next results of a batch, each only for its owner."""

import asyncio
from typing import Any, ClassVar

import orjson

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.queries import StreamPage, StreamQuery
from services.aggregator.domain.stream_position import StreamPosition
from services.aggregator.handlers.large_results import LargeResults, Results
from services.aggregator.handlers.queries import MAX_REPLY_BYTES, MAX_ROWS_HERE, SplicedReply, item_result
from services.aggregator.persistence.stream_store import StreamPart, StreamStore


class SplicedStreamPage(SplicedReply):
    """`StreamPage` whose JSON is assembled from stored JSON, without parsing the results."""

    type: ClassVar[str] = StreamPage.type


class StreamHandler:
    """Handler of queries for the next results."""

    def __init__(self, store: StreamStore, large_results: LargeResults) -> None:
        self._store, self._large_results = store, large_results

    async def on_stream_query(self, query: StreamQuery, _: Envelope) -> Message:
        """Return the outcomes after a cursor that fit into a message.

        The state is read before the outcomes, so that all outcomes of a round that has ended are there.
        """
        state = await self._store.state(query.batch_id, query.owner)
        if state is None:
            return StreamPage(found=False)
        after = StreamPosition.start(query.order) if query.cursor is None else StreamPosition.parse(query.cursor)
        part = await self._store.part(state, query, after, MAX_REPLY_BYTES)
        has_ended = state.has_ended or (query.round is not None and query.round < state.round)
        stored = await self._large_results.load(query.batch_id, part.rows)
        if len(part.rows) > MAX_ROWS_HERE:
            return SplicedStreamPage(body=await asyncio.to_thread(_encode, part, stored, has_ended))
        return SplicedStreamPage(body=_encode(part, stored, has_ended))


def _encode(part: StreamPart, stored: Results, has_ended: bool) -> bytes:  # passed on by to_thread
    items: list[dict[str, Any]] = [
        item_result(row, stored) | {"cursor": part.end.moved(row["major"], row["minor"]).cursor} for row in part.rows
    ]
    page = {"found": True, "items": items, "cursor": part.end.cursor}
    return orjson.dumps(page | {"has_more": part.has_more, "has_ended": has_ended})

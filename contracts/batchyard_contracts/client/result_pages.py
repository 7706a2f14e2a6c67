"""Reads the outcomes of a batch page by page, one page ahead of their consumer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from batchyard_contracts.client.errors import NoReply, UnknownBatch
from batchyard_contracts.v1.queries import ResultsQuery, ResultsReply, StreamPage, StreamQuery
from batchyard_contracts.v1.values import ItemResult

Ask = Callable[[ResultsQuery], Coroutine[Any, Any, ResultsReply]]
AskStream = Callable[[StreamQuery], Coroutine[Any, Any, StreamPage]]
POLL_S = 0.5
"""Seconds between two questions about a batch that is followed, while there is nothing new."""
_MAX_UNANSWERED = 6


async def read_pages(ask: Ask, first: ResultsQuery) -> AsyncIterator[ItemResult]:
    """Yield the outcomes that a query and its continuations find; raises `UnknownBatch`, and what `ask` raises."""
    asked = asyncio.create_task(ask(first))
    try:
        while True:
            reply = await asked
            if not reply.found:
                raise UnknownBatch
            if reply.next_after is not None:
                asked = asyncio.create_task(ask(first.model_copy(update={"after": reply.next_after})))
            for item in reply.items:
                yield item
            if reply.next_after is None:
                return
    finally:
        asked.cancel()
        await asyncio.wait({asked})
        if not asked.cancelled():
            asked.exception()  # retrieved: it was raised above, or nobody needs this page any more


async def read_stream(ask: AskStream, query: StreamQuery, *, follow: bool) -> AsyncIterator[ItemResult]:
    """Yield the outcomes that a query finds; with `follow` also those to come, until the batch has ended. Raises
    `UnknownBatch`, and what `ask` raises; with `follow`, only after some questions in a row had no reply."""
    unanswered = 0
    while True:
        try:
            page = await ask(query)
        except NoReply:
            unanswered += 1
            if not follow or unanswered == _MAX_UNANSWERED:
                raise
            continue
        unanswered = 0
        if not page.found:
            raise UnknownBatch
        for item in page.items:
            yield item
        query = query.model_copy(update={"cursor": page.cursor or query.cursor})
        if page.has_more:
            continue
        if page.has_ended or not follow:
            return
        await asyncio.sleep(POLL_S)

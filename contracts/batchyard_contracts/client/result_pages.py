"""Reads the outcomes of a batch page by page, one page ahead of their consumer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from batchyard_contracts.client.errors import UnknownBatch
from batchyard_contracts.v1.queries import ResultsQuery, ResultsReply
from batchyard_contracts.v1.values import ItemResult

Ask = Callable[[ResultsQuery], Coroutine[Any, Any, ResultsReply]]


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

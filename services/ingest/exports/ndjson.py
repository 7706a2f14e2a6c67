"""Outcomes as NDJSON, and as one JSON array."""

import asyncio
from collections.abc import AsyncIterator

from services.ingest.queries.result_page import ResultPage

PULSE_S = 10.0
"""Seconds without an outcome after which a stream that follows a batch sends an empty line."""


async def ndjson_lines(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield one outcome per line."""
    async for page in pages:
        if page.items:
            yield await asyncio.to_thread(page.joined, b"\n") + b"\n"


async def followed_lines(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield one outcome per line as it comes, and an empty line where none came for `PULSE_S`, so that nobody on the
    way takes the connection for a lost one."""
    clock = asyncio.get_running_loop().time
    sent_at = clock()
    async for page in pages:
        if page.items or clock() - sent_at >= PULSE_S:
            yield await asyncio.to_thread(page.joined, b"\n") + b"\n"
            sent_at = clock()


async def json_array(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield all outcomes as one array."""
    before = b"["
    async for page in pages:
        if page.items:
            yield before + await asyncio.to_thread(page.joined, b",\n")
            before = b",\n"
    yield b"[]" if before == b"[" else b"]"

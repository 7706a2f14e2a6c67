"""Outcomes as NDJSON, and as one JSON array."""

import asyncio
from collections.abc import AsyncIterator

from services.ingest.queries.result_page import ResultPage


async def ndjson_lines(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield one outcome per line."""
    async for page in pages:
        if page.items:
            yield await asyncio.to_thread(page.joined, b"\n") + b"\n"


async def json_array(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield all outcomes as one array."""
    before = b"["
    async for page in pages:
        if page.items:
            yield before + await asyncio.to_thread(page.joined, b",\n")
            before = b",\n"
    yield b"[]" if before == b"[" else b"]"

"""Outcomes as NDJSON, and as one JSON array."""

import asyncio
from collections.abc import AsyncIterator

from services.ingest.queries.result_reader import ResultPage


async def ndjson_lines(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield one outcome per line."""
    async for page in pages:
        if page.items:
            yield b"\n".join(await asyncio.to_thread(_lines, page)) + b"\n"


async def json_array(pages: AsyncIterator[ResultPage]) -> AsyncIterator[bytes]:
    """Yield all outcomes as one array."""
    before = b"["
    async for page in pages:
        if page.items:
            yield before + b",\n".join(await asyncio.to_thread(_lines, page))
            before = b",\n"
    yield b"[]" if before == b"[" else b"]"


def _lines(page: ResultPage) -> list[bytes]:
    return [item.model_dump_json(exclude_none=True).encode() for item in page.items]

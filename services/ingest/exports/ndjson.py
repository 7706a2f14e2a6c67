"""Outcomes as NDJSON, and as one JSON array."""

from collections.abc import AsyncIterator

from services.ingest.queries.result_reader import Page


async def ndjson(pages: AsyncIterator[Page]) -> AsyncIterator[bytes]:
    """One outcome a line."""
    async for page in pages:
        if page.items:
            yield b"\n".join(_lines(page)) + b"\n"


async def json_array(pages: AsyncIterator[Page]) -> AsyncIterator[bytes]:
    """All outcomes in one array."""
    before = b"["
    async for page in pages:
        if page.items:
            yield before + b",\n".join(_lines(page))
            before = b",\n"
    yield b"[]" if before == b"[" else b"]"


def _lines(page: Page) -> list[bytes]:
    return [item.model_dump_json(exclude_none=True).encode() for item in page.items]

"""Files of items, as a client streams them to the HTTP API."""

from collections.abc import AsyncIterator
from typing import Any

from tests.support.running_ingest import IngestHarness

NDJSON = {"Content-Type": "application/x-ndjson"}


async def lines(number: int, size: int = 100, *, bad: int | None = None) -> AsyncIterator[bytes]:
    """Yield this many items of about `size` bytes, in pieces that end in the middle of a line."""
    note = b"x" * size
    rest = b""
    for start in range(0, number, 100):
        text = rest + b"".join(
            b'{"n": %d, "url": "http://h%d.example/", "note": "%s"}\n' % (-1 if n == bad else n, n % 10, note)
            for n in range(start, min(start + 100, number))
        )
        cut = len(text) - 7
        yield text[:cut]
        rest = text[cut:]
    yield rest


async def post(
    harness: IngestHarness, body: Any, query: str = "", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    return await harness.post(f"/batches?workload=squares{query}", data=body, headers=NDJSON | (headers or {}))


def ordinals(harness: IngestHarness) -> list[int]:
    return sorted(item.ordinal for page in harness.pages for segment in page.segments for item in segment.items)

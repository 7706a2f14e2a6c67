"""Records out of results, each once: as NDJSON or as CSV, however many there are.

Which records were written is kept in a temporary database of this answer alone, in memory as long as it is small and in
a file that nobody else can open when it is not, so that a million records need no more room than ten thousand.
"""

import asyncio
import csv
import io
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Any

import orjson

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import RecordsExport
from services.ingest.exports.csv import safe_cell
from services.ingest.queries.result_reader import Page

_CACHE_KB = 4096
Write = Callable[[list[dict[str, Any]]], bytes]


async def records_lines(pages: AsyncIterator[Page], export: RecordsExport) -> AsyncIterator[bytes]:
    """One record a line."""
    async for piece in _written(pages, export, lambda found: b"".join(orjson.dumps(one) + b"\n" for one in found)):
        yield piece


async def records_table(pages: AsyncIterator[Page], export: RecordsExport) -> AsyncIterator[bytes]:
    """A header and one row for each record. The columns are the fields of the first records; values that are lists or
    objects are left out: NDJSON has them."""
    fields: list[str] = []

    def write(found: list[dict[str, Any]]) -> bytes:
        rows: list[list[Any]] = []
        if not fields and found:
            fields.extend(dict.fromkeys(name for one in found for name in one))
            rows.append(list(fields))
        rows += [[safe_cell(one.get(name)) for name in fields] for one in found]
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        return text.getvalue().encode()

    async for piece in _written(pages, export, write):
        yield piece


async def _written(pages: AsyncIterator[Page], export: RecordsExport, write: Write) -> AsyncIterator[bytes]:
    chosen = _Chosen(export)
    with closing(chosen):
        async for page in pages:
            piece = await asyncio.to_thread(lambda page=page: write(list(chosen.fresh(page))))  # type: ignore[misc]
            if piece:
                yield piece


class _Chosen:
    """The records of pages that were not there before. To be used by one thread at a time."""

    def __init__(self, export: RecordsExport) -> None:
        self._records, self._id = CompiledPointer(export.records), CompiledPointer(export.id)
        self._seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KB}"):
            self._seen.execute(f"PRAGMA {setting}")
        self._seen.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")

    def fresh(self, page: Page) -> Iterator[dict[str, Any]]:
        """What of a page is new. A record without an id is always."""
        for item in page.items:
            records = self._records.find(item.result)
            for record in records if isinstance(records, list) else ():
                if isinstance(record, dict) and self._is_new(record):
                    yield record

    def close(self) -> None:
        """Forget what was seen."""
        self._seen.close()

    def _is_new(self, record: dict[str, Any]) -> bool:
        id_ = self._id.find(record)
        if id_ is MISSING or id_ is None:
            return True
        key = blake2b(orjson.dumps(id_, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        return self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1

"""Records of results as NDJSON or CSV, each once, in constant memory.

The ids of written records are kept in a temporary SQLite database of this response: in memory while it is small,
otherwise in an unlinked file. A million records need no more memory than ten thousand.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Any

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.manifest import RecordsExport
from services.ingest.exports.columns import Columns, paths_of_values
from services.ingest.exports.csv import encode_rows
from services.ingest.queries.result_page import ResultPage, read_json, sorted_json, write_json

_CACHE_KB = 4096
Encoder = Callable[[list[dict[str, Any]]], bytes]


async def records_ndjson(pages: AsyncIterator[ResultPage], export: RecordsExport) -> AsyncIterator[bytes]:
    """Yield one record per line."""
    async for chunk in _encode(
        pages, export, lambda records: b"".join(write_json(record) + b"\n" for record in records)
    ):
        yield chunk


async def records_csv(pages: AsyncIterator[ResultPage], export: RecordsExport) -> AsyncIterator[bytes]:
    """Yield a header, and one row for each record. The columns are the fields of the first records."""
    columns: Columns | None = None

    def encode(records: list[dict[str, Any]]) -> bytes:
        nonlocal columns
        header: list[list[Any]] = []
        if columns is None:
            if not records:
                return b""
            columns = Columns(paths_of_values(records))
            header.append(columns.names)
        return encode_rows([*header, *map(columns.cells, records)])

    async for chunk in _encode(pages, export, encode):
        yield chunk


async def _encode(pages: AsyncIterator[ResultPage], export: RecordsExport, encode: Encoder) -> AsyncIterator[bytes]:
    unique = _UniqueRecords(export)
    with closing(unique):
        async for page in pages:
            chunk = await asyncio.to_thread(lambda page=page: encode(list(unique.new_records(page))))  # type: ignore[misc]
            if chunk:
                yield chunk


class _UniqueRecords:
    """Filters records that were written before. For use by one thread at a time."""

    def __init__(self, export: RecordsExport) -> None:
        self._records, self._id = CompiledPointer(export.records), CompiledPointer(export.id)
        self._seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KB}"):
            self._seen.execute(f"PRAGMA {setting}")
        self._seen.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")

    def new_records(self, page: ResultPage) -> Iterator[dict[str, Any]]:
        """Yield the records of a page that were not written before. A record without an id is always new."""
        for outcome in page.outcomes():
            records = self._records.find(read_json(outcome.result))
            for record in records if isinstance(records, list) else ():
                if isinstance(record, dict) and self._is_new(record):
                    yield record

    def close(self) -> None:
        """Delete the temporary database."""
        self._seen.close()

    def _is_new(self, record: dict[str, Any]) -> bool:
        id_ = self._id.find(record)
        if id_ is MISSING or id_ is None:
            return True
        key = blake2b(sorted_json(id_), digest_size=16).digest()
        return self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1

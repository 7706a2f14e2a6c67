"""Outcomes as Parquet: the status columns of each item, then typed columns of the fields of its result.

The schema comes from the result schema alone, so that all parts of a batch have the same one. A value that its column
cannot hold, such as an integer of more than 64 bits, is in `more` as JSON, and nothing is lost.
"""

import asyncio
import io
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.exports.columns import UNFIT, Columns, Convert, fields_of_schema
from services.ingest.exports.status_columns import STATUS_COLUMNS, status_cells
from services.ingest.queries.result_page import JsonNumber, Outcome, ResultPage, read_json, write_json

MAX_GROUP_ROWS = 65_536
MAX_GROUP_BYTES = 16 * 1024 * 1024
"""Largest row group: rows, and bytes of JSON. The writer keeps one of them, and the description of each."""
_MAX_EXACT = 2**53
_MAX_INT64 = 2**63
_NOT_INSTALLED = Rejection(
    "format_unavailable",
    "Parquet needs a library that this server has not installed. Ask its operator to install `batchyard[parquet]` "
    "where ingest runs, or take `ndjson` or `csv`.",
)


async def parquet_file(pages: AsyncIterator[ResultPage], result_schema: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """Yield one Parquet file."""
    writer = await asyncio.to_thread(ParquetEncoder, result_schema)
    async for page in pages:
        if piece := await asyncio.to_thread(writer.add, page):
            yield piece
    yield await asyncio.to_thread(writer.finish)


def check_parquet() -> None:
    """Raise `IngestError` where the library for Parquet is not installed."""
    try:
        import pyarrow as pa  # noqa: F401, PLC0415  an extra, large, and loaded only where it is used
    except ImportError as error:
        raise IngestError(_NOT_INSTALLED) from error


class ParquetEncoder:
    """Writer of one file, which is taken away piece by piece. For use by one thread at a time."""

    def __init__(self, result_schema: Mapping[str, Any]) -> None:
        import pyarrow as pa  # noqa: PLC0415  as above
        from pyarrow import parquet  # noqa: PLC0415  as above

        self._pa = pa
        fields = fields_of_schema(result_schema) or [((), None)]
        types = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        converts = [_CONVERTS.get(kind or "", _json_text) for _, kind in fields]
        self._columns = Columns([path for path, _ in fields], STATUS_COLUMNS, converts, None)
        of_fields = [types.get(kind or "", pa.string()) for _, kind in fields]
        of_status = [_status_type(pa, name) for name in STATUS_COLUMNS]
        names = [*STATUS_COLUMNS, *self._columns.plain_names]
        self.schema = pa.schema(list(zip(names, [*of_status, *of_fields, pa.string()], strict=True)))
        self._sink = _Sink()
        repeated = [name for name in ("status", "error_code", "error_scope") if name in names]
        self._writer = parquet.ParquetWriter(self._sink, self.schema, compression="zstd", use_dictionary=repeated)
        self._batches: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, page: ResultPage) -> bytes:
        """Add a page; return what can be sent."""
        outcomes = list(page.outcomes())
        if outcomes:
            rows = [(*_status_cells(each), *self._columns.cells(read_json(each.result))) for each in outcomes]
            columns = zip(*rows, strict=True)
            arrays = [self._pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
            self._batches.append(self._pa.record_batch(arrays, schema=self.schema))
            self._rows += len(rows)
            self._bytes += page.size()
        if self._rows >= MAX_GROUP_ROWS or self._bytes >= MAX_GROUP_BYTES:
            self._write_group()
        return self._sink.drain()

    def finish(self) -> bytes:
        """Write the rest, and the description of the file; return what is left to send."""
        self._write_group()
        self._writer.close()
        return self._sink.drain()

    def _write_group(self) -> None:
        if self._batches:
            table = self._pa.Table.from_batches(self._batches, self.schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._batches, self._rows, self._bytes = [], 0, 0


class _Sink(io.RawIOBase):
    """A write-only file whose content is drained."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self._pieces.append(bytes(piece))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._written

    def drain(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _status_type(pa: Any, name: str) -> Any:
    if name in {"ordinal", "attempts", "round", "duplicate_of"}:
        return pa.int32()
    if name == "elapsed_ms":
        return pa.int64()
    return pa.bool_() if name == "cached" else pa.string()


def _status_cells(outcome: Outcome) -> tuple[Any, ...]:
    return status_cells(outcome, outcome.error.message if outcome.error else None, outcome.cached)


def _integer(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_MAX_INT64 <= value < _MAX_INT64 else UNFIT
    return UNFIT


def _number(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if -_MAX_EXACT <= value <= _MAX_EXACT else UNFIT
    if isinstance(value, JsonNumber) and math.isfinite(number := float(value.text)):
        return number
    return UNFIT


def _boolean(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else UNFIT


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else UNFIT


def _json_text(value: Any) -> Any:
    return None if value is None else write_json(value).decode()


_CONVERTS: Mapping[str, Convert] = {"integer": _integer, "number": _number, "boolean": _boolean, "string": _text}

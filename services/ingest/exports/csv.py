"""Outcomes as CSV: the status columns of each item, then the fields of its result."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from services.ingest.exports.columns import Columns, paths_of_schema, paths_of_values, safe_text
from services.ingest.exports.status_columns import STATUS_COLUMNS, status_cells
from services.ingest.queries.result_page import Outcome, ResultPage, read_json


async def csv_table(
    pages: AsyncIterator[ResultPage], result_schema: Mapping[str, Any], *, is_part: bool = False
) -> AsyncIterator[bytes]:
    """Yield a header, and one row for each outcome.

    The columns come from the result schema. When it names no fields, they come from the first page; in a part of a
    table, whose columns are those of the other parts, the result is one column of JSON.
    """
    paths = paths_of_schema(result_schema) or ([()] if is_part else [])
    columns = Columns(paths, STATUS_COLUMNS) if paths else None
    first = True
    async for page in pages:
        columns, encoded = await asyncio.to_thread(_encode, page, columns, first)
        first = False
        yield encoded


def encode_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _encode(page: ResultPage, columns: Columns | None, first: bool) -> tuple[Columns, bytes]:
    found = [(outcome, read_json(outcome.result)) for outcome in page.outcomes()]
    columns = columns or Columns(paths_of_values(result for _, result in found), STATUS_COLUMNS)
    header = [(*STATUS_COLUMNS, *columns.names)] if first else []
    rows = ((*_status_cells(outcome), *columns.cells(result)) for outcome, result in found)
    return columns, encode_rows([*header, *rows])


def _status_cells(outcome: Outcome) -> tuple[Any, ...]:
    """Return the cells of the status columns. Ids are written as they were submitted, so that they can be joined to the
    input."""
    message = safe_text(outcome.error.message) if outcome.error else None
    return status_cells(outcome, message, "true" if outcome.cached else "false")

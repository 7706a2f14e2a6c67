"""Outcomes as CSV: the status columns of each item, then the fields of its result."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from services.ingest.exports.columns import Columns, paths_of_schema, paths_of_values, safe_text
from services.ingest.queries.result_page import Outcome, ResultPage, read_json

STATUS_COLUMNS = (
    "ordinal",
    "custom_id",
    "status",
    "attempts",
    "round",
    "error_code",
    "error_message",
    "error_scope",
    "duplicate_of",
    "duplicate_of_batch",
    "elapsed_ms",
    "cached",
)


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
    error = outcome.error
    return (
        outcome.ordinal,
        outcome.custom_id,
        outcome.status,
        outcome.attempts,
        outcome.round,
        error.code if error else None,
        safe_text(error.message) if error else None,
        error.scope if error else None,
        outcome.duplicate_of,
        outcome.duplicate_of_batch,
        outcome.elapsed_ms,
        "true" if outcome.cached else "false",
    )

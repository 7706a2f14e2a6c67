"""Outcomes as CSV: the status columns of each item, then the scalar values of its result."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from batchyard_contracts.v1.values import ItemResult
from services.ingest.queries.result_reader import ResultPage

STATUS_COLUMNS = (
    "ordinal",
    "custom_id",
    "status",
    "attempts",
    "round",
    "error_code",
    "error_message",
    "duplicate_of",
    "elapsed_ms",
    "cached",
)
_FORMULA = re.compile(r"\s*[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n]")
"""Start of a text that a spreadsheet may run: its sign, full-width too, after white space, or a character that starts a
new cell."""


async def csv_table(pages: AsyncIterator[ResultPage], result_schema: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """Yield a header, and one row for each outcome.

    The columns come from the result schema, or from the first page when the schema names no fields. Lists and objects
    are left out: NDJSON has them.
    """
    fields: list[str] | None = None
    async for page in pages:
        header: list[Iterable[Any]] = []
        if fields is None:
            fields = _fields(result_schema) or _fields_in(page.items)
            columns = (f"result_{f}" if f in STATUS_COLUMNS else safe_cell(f) for f in fields)
            header.append((*STATUS_COLUMNS, *columns))
        yield await asyncio.to_thread(_encode, header, page, fields)


def _encode(header: list[Iterable[Any]], page: ResultPage, fields: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([*header, *(_row(item, fields) for item in page.items)])
    return text.getvalue().encode()


def safe_cell(value: Any) -> Any:
    """Return a value that is safe in a spreadsheet: text that would run as a formula is quoted."""
    if isinstance(value, str):
        return "'" + value if _FORMULA.match(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, dict | list) else value


def _row(item: ItemResult, fields: list[str]) -> list[Any]:
    error = item.error
    status = [
        item.ordinal,
        item.custom_id,
        item.status,
        item.attempts,
        item.round,
        error.code if error else None,
        error.message if error else None,
        item.duplicate_of,
        item.elapsed_ms,
        item.cached,
    ]
    result = item.result if isinstance(item.result, dict) else {"result": item.result}
    return [safe_cell(value) for value in (*status, *(result.get(field) for field in fields))]


def _fields(schema: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return []
    return [name for name, value in properties.items() if not _is_compound(value)]


def _is_compound(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if "$ref" in schema or schema.get("type") in ("array", "object"):
        return True
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return bool(choices) and all(map(_is_compound, choices))


def _fields_in(items: Iterable[ItemResult]) -> list[str]:
    found: dict[str, None] = {}
    for item in items:
        if isinstance(item.result, dict):
            found |= dict.fromkeys(k for k, v in item.result.items() if not isinstance(v, dict | list))
        elif item.result is not None and not isinstance(item.result, list):
            found["result"] = None
    return list(found)

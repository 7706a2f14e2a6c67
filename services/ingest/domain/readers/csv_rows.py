"""Reads CSV: the header names the fields of the payload, and a column `custom_id` the item, unless it is a field."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import CustomId
from services.ingest.domain.readers.rows import LINE_TOO_LONG, MAX_LINE_BYTES, LineSplitter, Row
from services.ingest.domain.rejection import Rejection

_CUSTOM_ID: TypeAdapter[str] = TypeAdapter(CustomId)
_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?")
_MAX_COLUMNS = 200
_STRAY_QUOTE = (
    "A quotation mark stands within a cell that is not quoted. Put the cell in quotation marks, and double this one."
)
csv.field_size_limit(MAX_LINE_BYTES)


class CsvReader:
    """Reads one item per row. A cell becomes a number or a boolean where the item schema requires one; an empty cell
    is absent."""

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        properties = item_schema.get("properties")
        self._properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self._lines = LineSplitter()
        self._record: list[str] = []
        self._size = 0
        self._is_quoted = False
        self._columns: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[Row | Rejection]:
        """Yield the rows that a chunk completes."""
        yield from self._rows(self._lines.feed(chunk))
        if rejection := self._lines.overlong_line:
            yield rejection

    def finish(self) -> Iterator[Row | Rejection]:
        """Yield the row of a last line without a line end."""
        yield from self._rows(self._lines.finish())
        if self._record:
            yield Rejection("malformed_csv", "A quoted cell is not closed.", 400, self._lines.line_number)

    def _rows(self, lines: Iterable[bytes]) -> Iterator[Row | Rejection]:
        """Collect the lines of a record: while its quotes are odd, a quoted cell continues on the next line."""
        for line in lines:
            try:
                text = line.decode("utf-8-sig" if self._lines.line_number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield Rejection("malformed_csv", "The file is not encoded in UTF-8.", 400, self._lines.line_number)
                return
            self._record.append(text)
            self._size += len(line) + 1
            if self._size > MAX_LINE_BYTES + 1:
                yield LINE_TOO_LONG.at(self._lines.line_number)
                return
            self._is_quoted ^= text.count('"') % 2 == 1
            if self._is_quoted:
                continue
            record, self._record, self._size = self._record, [], 0
            row = self._row(record, self._lines.line_number - len(record) + 1)
            if row is not None:
                yield row

    def _row(self, record: list[str], number: int) -> Row | Rejection | None:
        cells = _cells(record, number)
        if isinstance(cells, Rejection):
            return cells
        if not cells:
            return None
        if self._columns is None:
            return self._header([cell.strip() for cell in cells], number)
        if len(cells) != len(self._columns):
            detail = f"The row has {len(cells)} cells, the header has {len(self._columns)}."
            return Rejection("malformed_csv", detail, 400, number)
        payload: dict[str, Any] = {}
        custom_id = None
        for name, cell in zip(self._columns, cells, strict=True):
            if not cell:
                continue
            if name == "custom_id" and name not in self._properties:
                custom_id = cell
            else:
                payload[name] = _convert(cell, self._properties.get(name))
        if custom_id is not None:
            try:
                _CUSTOM_ID.validate_python(custom_id)
            except ValidationError as error:
                return Rejection("invalid_item", f"custom_id: {error.errors(include_url=False)[0]['msg']}", line=number)
        return Row(number, payload, orjson.dumps(payload), custom_id)

    def _header(self, names: list[str], number: int) -> Rejection | None:
        if not all(names) or len(set(names)) < len(names) or len(names) > _MAX_COLUMNS:
            detail = f"The header needs distinct column names, none empty, at most {_MAX_COLUMNS}."
            return Rejection("malformed_csv", detail, 400, number)
        self._columns = names
        return None


def _cells(record: list[str], number: int) -> list[str] | Rejection:
    """Return the cells of one record."""
    try:
        rows = list(csv.reader([part + "\n" for part in record], strict=True))
    except csv.Error as error:
        return Rejection("malformed_csv", f"{error}.", 400, number)
    return rows[0] if len(rows) == 1 else Rejection("malformed_csv", _STRAY_QUOTE, 400, number)


def _convert(cell: str, schema: Any) -> Any:
    """Return a cell in the type that the schema of its column requires, or as text, which validation then rejects."""
    types = _types(schema)
    if not types or "string" in types:
        return cell
    if "integer" in types and _INTEGER.fullmatch(cell):
        return int(cell)
    if "number" in types and _NUMBER.fullmatch(cell):
        return float(cell)
    if "boolean" in types and cell.lower() in {"true", "false"}:
        return cell.lower() == "true"
    if types & {"object", "array"} and cell[0] in "[{":
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
    return cell


def _types(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else set()
    for choice in schema.get("anyOf", []):
        found |= _types(choice)
    return found

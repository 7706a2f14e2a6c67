"""Reads CSV: the header names the fields of the payload; a column `custom_id` that is no such field names the item."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import CustomId
from services.ingest.domain.fault import Fault
from services.ingest.domain.readers.rows import LONG_LINE, MAX_LINE_BYTES, Lines, Row

_CUSTOM_ID: TypeAdapter[str] = TypeAdapter(CustomId)
_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?")
_MOST_COLUMNS = 200


class CsvReader:
    """One item a row. A cell becomes a number or a boolean where the item schema wants one; an empty cell is absent."""

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        properties = item_schema.get("properties")
        self._properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self._lines = Lines()
        self._record: list[str] = []
        self._size = 0
        self._columns: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[Row | Fault]:
        """The rows that this piece completes."""
        yield from self._rows(self._lines.feed(chunk))
        if fault := self._lines.too_long:
            yield fault

    def end(self) -> Iterator[Row | Fault]:
        """The row of a last line without an end."""
        yield from self._rows(self._lines.end())
        if self._record:
            yield Fault("malformed_csv", "A quoted cell has no end.", 400, self._lines.number)

    def _rows(self, lines: Iterable[bytes]) -> Iterator[Row | Fault]:
        """Gathers the lines of a record: a quoted cell may hold line ends, and then the quotes so far are odd."""
        for line in lines:
            try:
                self._record.append(line.decode("utf-8-sig" if self._lines.number == 1 else "utf-8"))
            except UnicodeDecodeError:
                yield Fault("malformed_csv", "The file is not in UTF-8. Save it so.", 400, self._lines.number)
                return
            self._size += len(line)
            if self._size > MAX_LINE_BYTES:
                yield LONG_LINE.at(self._lines.number)
                return
            if sum(part.count('"') for part in self._record) % 2:
                continue
            record, self._record, self._size = self._record, [], 0
            row = self._row(record, self._lines.number - len(record) + 1)
            if row is not None:
                yield row

    def _row(self, record: list[str], number: int) -> Row | Fault | None:
        try:
            parsed = list(csv.reader([part + "\n" for part in record], strict=True))
        except csv.Error as error:
            return Fault("malformed_csv", f"{error}.", 400, number)
        cells = parsed[0] if parsed else []
        if not cells:
            return None
        if self._columns is None:
            return self._header([cell.strip() for cell in cells], number)
        if len(cells) != len(self._columns):
            detail = f"The row has {len(cells)} cells, the header {len(self._columns)}."
            return Fault("malformed_csv", detail, 400, number)
        payload: dict[str, Any] = {}
        custom_id = None
        for name, cell in zip(self._columns, cells, strict=True):
            if not cell:
                continue
            if name == "custom_id" and name not in self._properties:
                custom_id = cell
            else:
                payload[name] = _typed(cell, self._properties.get(name))
        if custom_id is not None:
            try:
                _CUSTOM_ID.validate_python(custom_id)
            except ValidationError as error:
                return Fault("invalid_item", f"custom_id: {error.errors(include_url=False)[0]['msg']}", line=number)
        return Row(number, payload, orjson.dumps(payload), custom_id)

    def _header(self, names: list[str], number: int) -> Fault | None:
        if not all(names) or len(set(names)) < len(names) or len(names) > _MOST_COLUMNS:
            detail = f"The first row names the columns: at most {_MOST_COLUMNS}, none empty, none twice."
            return Fault("malformed_csv", detail, 400, number)
        self._columns = names
        return None


def _typed(cell: str, schema: Any) -> Any:
    """The cell as the type that the schema of its column asks for; text where that cannot be, for the schema to say."""
    kinds = _kinds(schema)
    if not kinds or "string" in kinds:
        return cell
    if "integer" in kinds and _INTEGER.fullmatch(cell):
        return int(cell)
    if "number" in kinds and _NUMBER.fullmatch(cell):
        return float(cell)
    if "boolean" in kinds and cell.lower() in {"true", "false"}:
        return cell.lower() == "true"
    if kinds & {"object", "array"} and cell[0] in "[{":
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
    return cell


def _kinds(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else set()
    for choice in schema.get("anyOf", []):
        found |= _kinds(choice)
    return found

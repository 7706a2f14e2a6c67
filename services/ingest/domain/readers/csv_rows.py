"""Reads CSV: the header names the fields of the payload, and a column `custom_id` the item, unless it is a field."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from batchyard_contracts.pointer import pointer_to
from services.ingest.domain.readers.csv_cells import UnfitCell
from services.ingest.domain.readers.csv_header import Header, read_header
from services.ingest.domain.readers.csv_records import MALFORMED, CsvRecords, MalformedCsv, Record
from services.ingest.domain.readers.item_form import invalid_custom_id
from services.ingest.domain.readers.rows import Row
from services.ingest.domain.rejection import Rejection

_CELLS_ADVICE = "Put a cell that contains the delimiter or a line end in quotation marks."
_encode = msgspec.json.Encoder().encode


class CsvReader:
    """Reads one item per row. A cell becomes a number or a boolean where the item schema requires one; an empty cell
    is absent, and a row of empty cells is no item."""

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        self._schema = item_schema
        self._records = CsvRecords(item_schema)
        self._header: Header | None = None

    def feed(self, chunk: bytes) -> Iterator[Row | Rejection]:
        """Yield the rows that a chunk completes."""
        return self._rows(self._records.feed(chunk))

    def finish(self) -> Iterator[Row | Rejection]:
        """Yield the row of a last line without a line end."""
        return self._rows(self._records.finish())

    def _rows(self, records: Iterable[Record]) -> Iterator[Row | Rejection]:
        try:
            for line, cells in records:
                header = self._header
                if header is None or len(cells) != len(header.names):
                    if not "".join(cells).strip():
                        continue
                    if header is None:
                        self._header = _header_of(cells, self._schema, line)
                        continue
                    if rejection := _wrong_length(cells, header, line):
                        yield rejection
                        continue
                if row := _row(header, line, cells):
                    yield row
        except MalformedCsv as malformed:
            yield replace(malformed.rejection, is_final=True)


def _row(header: Header, line: int, cells: Sequence[str]) -> Row | Rejection | None:
    """Return the item of a record; None for one without values."""
    payload: dict[str, Any] = {}
    try:
        for position, name, convert in header.columns:
            if cell := cells[position]:
                if convert is None:
                    payload[name] = cell
                elif stripped := cell.strip():
                    payload[name] = convert(stripped)
    except UnfitCell as error:
        detail = f"Column {position + 1} (`{name}`) {error}"
        return Rejection("invalid_item", detail, line=line, pointer=pointer_to([name]), column=position + 1)
    custom_id = cells[header.custom_id] or None if header.custom_id is not None else None
    if custom_id is None:
        return Row(line, payload, _encode(payload), None) if payload else None
    return invalid_custom_id(custom_id, line) or Row(line, payload, _encode(payload), custom_id)


def _header_of(cells: Sequence[str], item_schema: Mapping[str, Any], line: int) -> Header:
    header = read_header(cells, item_schema, line)
    if isinstance(header, Rejection):
        raise MalformedCsv(header)
    return header


def _wrong_length(cells: Sequence[str], header: Header, line: int) -> Rejection | None:
    """Return the rejection of a row, unless it has a cell for each column, and otherwise empty ones."""
    if len(cells) >= len(header.names) and not "".join(cells[len(header.names) :]).strip():
        return None
    has = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
    detail = f"The row has {has}, the header has {len(header.names)}. {_CELLS_ADVICE}"
    return Rejection(MALFORMED, detail, 400, line)

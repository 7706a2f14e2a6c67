"""The examples of docs/files.md are read and written as the page says."""

import json
import re
from typing import Any

import pytest

from services.ingest.domain.readers.csv_header import MAX_COLUMNS as MAX_HEADER
from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.readers.rows import MAX_LINE_BYTES, Reader, Row
from services.ingest.domain.rejection import Rejection
from services.ingest.exports.columns import MAX_COLUMNS, MAX_DEPTH, safe_text
from tests.unit.docs.pages import ROOT, rows

PAGE = (ROOT / "docs" / "files.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
SCHEMA: dict[str, Any] = json.loads(BLOCKS["json"])
COLUMNS = {"integer": "id", "number": "price", "boolean": "paid", "array": "tags", "string": "note"}
_CODE = re.compile(r"`([^`]+)`")


def table(header: str) -> list[list[str]]:
    """The rows of the table below a header."""
    return rows(header + PAGE.partition(header)[2].partition("\n\n")[0])


CELLS = [
    (cell, kind, value) for cells, kind, value in table("| cell | type | value |") for cell in _CODE.findall(cells)
]


def read(reader: Reader, text: str) -> list[Row | Rejection]:
    return [*reader.feed(text.encode()), *reader.finish()]


def test_the_lines_and_the_rows_of_the_page_are_the_same_items() -> None:
    lines, table = read(NdjsonReader(SCHEMA), BLOCKS["ndjson"]), read(CsvReader(SCHEMA), BLOCKS["csv"])
    items = [(row.custom_id, row.payload) for row in lines if isinstance(row, Row)]
    assert items == [
        ("a", {"id": 1, "price": 0.5}),
        (None, {"id": 10**20 + 1}),
        ("=c", {"id": 3, "note": '5" pipe', "tags": ["x"]}),
    ]
    assert [(row.custom_id, row.payload) for row in table if isinstance(row, Row)] == items


@pytest.mark.parametrize(("cell", "kind", "value"), CELLS)
def test_each_cell_of_the_page_has_its_value_or_is_refused(cell: str, kind: str, value: str) -> None:
    quoted = cell.replace('"', '""')
    (found,) = read(CsvReader({**SCHEMA, "required": []}), f'{COLUMNS[kind]},x\n"{quoted}",.\n')
    if value.startswith("refused: "):
        assert isinstance(found, Rejection)
        assert value.removeprefix("refused: ") in found.detail
    else:
        assert isinstance(found, Row)
        expected = json.loads(value.strip("`"))
        assert (found.payload[COLUMNS[kind]], type(found.payload[COLUMNS[kind]])) == (expected, type(expected))


def test_the_page_has_cells_of_every_type() -> None:
    assert {kind for _, kind, _ in CELLS} == COLUMNS.keys()
    assert len(CELLS) >= 15


def test_the_texts_of_the_page_are_made_safe_as_it_says() -> None:
    written = [_CODE.findall(value)[-1] for _, value in table("| value | in CSV |") if "`" in value]
    assert written == ["100000000000000000001", "-12.50", "'=1+1", "''=1+1"]
    assert [safe_text(text) for text in ("-12.50", "=1+1", "'=1+1")] == written[1:]


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert f"up to {MAX_HEADER} names" in PAGE
    assert f"at most {MAX_COLUMNS} columns and {MAX_DEPTH} levels" in PAGE
    assert f"at most {MAX_LINE_BYTES // 1024:,} KiB" in PAGE

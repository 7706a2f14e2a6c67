"""CSV as spreadsheets, databases and people write it: taken as it is meant, or refused with the place and advice."""

import codecs
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.rows import Row
from services.ingest.domain.rejection import Rejection

SCHEMA: dict[str, Any] = {
    "properties": {
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "ok": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "kind": {"$ref": "#/$defs/Kind"},
        "level": {"enum": [1, 2]},
        "tags": {"type": "array"},
        "note": {"type": "string"},
        "any": {},
    },
    "$defs": {"Kind": {"enum": [1, 2, 3], "type": "integer"}},
}


def read(body: bytes | str, schema: dict[str, Any] = SCHEMA) -> list[Row | Rejection]:
    reader = CsvReader(schema)
    found = list(reader.feed(body if isinstance(body, bytes) else body.encode()))
    return found if found and isinstance(found[-1], Rejection) else [*found, *reader.finish()]


def payloads(body: bytes | str, schema: dict[str, Any] = SCHEMA) -> list[Any]:
    return [row.payload if isinstance(row, Row) else row for row in read(body, schema)]


def rejection(body: bytes | str, schema: dict[str, Any] = SCHEMA) -> Rejection:
    found = read(body, schema)[-1]
    assert isinstance(found, Rejection)
    return found


@pytest.mark.parametrize("rows", [2, 100])
def test_a_quotation_mark_within_a_cell_that_is_not_quoted_is_text(rows: int) -> None:
    notes = ['19" rack' if n % 57 == 2 else f"plain {n}" for n in range(rows)]
    body = "n,note\n" + "".join(f"{n},{note}\n" for n, note in enumerate(notes))
    assert payloads(body) == [{"n": n, "note": note} for n, note in enumerate(notes)]


def test_a_wrong_row_between_two_marks_is_refused() -> None:
    found = read('n,note\n1,8" bolt\nx,y,z\n2,9" bolt\n')
    assert isinstance(found[0], Row)
    assert isinstance(found[1], Rejection)
    assert found[1].line == 3


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_record_over_several_lines_keeps_its_marks_and_line_ends(pieces: int) -> None:
    body = b'n,note\n1,"a ""b""\r\n"",\nc"\n2,d\n'
    reader = CsvReader(SCHEMA)
    found = [row for start in range(0, len(body), pieces) for row in reader.feed(body[start : start + pieces])]
    found += reader.finish()
    rows = [row for row in found if isinstance(row, Row)]
    assert [(row.line, row.payload) for row in rows] == [
        (2, {"n": 1, "note": 'a "b"\r\n",\nc'}),
        (5, {"n": 2, "note": "d"}),
    ]


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("n", "9223372036854775807", 2**63 - 1),
        ("n", "-170141183460469231731687303715884105728", -(2**127)),
        ("n", "7.0", 7),
        ("n", "7.", 7),
        ("n", "9007199254740993.000", 2**53 + 1),
        ("n", "1e3", 1000),
        ("n", "+5", 5),
        ("n", " 5 ", 5),
        ("x", ".5", 0.5),
        ("x", "-.5", -0.5),
        ("x", "1.", 1.0),
        ("x", " 0.25", 0.25),
        ("x", "1E+05", 100000.0),
        ("x", "9007199254740993", 2**53 + 1),
        ("ok", "TRUE", True),
        ("ok", "f", False),
        ("ok", "0", False),
        ("ok", "NULL", None),
        ("kind", "2", 2),
        ("level", "2", 2),
        ("tags", '"[1, ""a""]"', [1, "a"]),
        ("tags", "[100000000000000000001]", [10**20 + 1]),
        ("note", " 007 ", " 007 "),
        ("any", "12", "12"),
    ],
)
def test_cells_are_read_as_spreadsheets_and_databases_write_them(column: str, cell: str, value: object) -> None:
    (found,) = payloads(f"{column},other\n{cell},.\n")
    assert found[column] == value
    assert type(found[column]) is type(value)


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("n", "7.5", ["Column 2 (`n`)", "a whole number", "“7.5”", "fraction"]),
        ("n", '"1,234"', ["no separators of thousands"]),
        ("x", "1'234.5", ["no separators of thousands"]),
        ("x", '"1,5"', ["a dot as the decimal mark"]),
        ("x", "1 234", ["no separators of thousands"]),
        ("n", "1.23457E+18", ["shortened", "all its digits"]),
        ("x", "1e999", ["too large"]),
        ("n", "9" * 4001, ["at most 4000 digits"]),
        ("x", "12 kg", ["without a unit"]),
        ("x", "nan", ["takes a number"]),
        ("n", "\u0661\u0662", ["takes a whole number"]),
        ("ok", "yes", ["true or false"]),
        ("tags", "[1", ["a JSON list", "Write it as JSON"]),
        ("tags", "7", ["a JSON list"]),
        ("kind", "x", ["a whole number"]),
    ],
)
def test_a_cell_of_another_type_is_refused_with_line_column_and_advice(
    column: str, cell: str, words: list[str]
) -> None:
    found = rejection(f"note,{column}\nfirst,\nsecond,{cell}\n")
    assert (found.code, found.line) == ("invalid_item", 3)
    assert [word for word in words if word not in found.detail] == []
    assert len(found.detail) < 300


def test_a_column_that_also_takes_text_takes_every_cell_as_text() -> None:
    schema = {"properties": {"a": {"type": ["integer", "string"]}, "b": {"anyOf": [{"type": "integer"}, {}]}}}
    assert payloads("a,b\n7,7\nx,x\n", schema) == [{"a": "7", "b": 7}, {"a": "x", "b": "x"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_the_delimiter_is_found_by_the_header(delimiter: str, mark: bytes) -> None:
    body = f"n{delimiter}note\n1{delimiter}a\n".encode()
    assert payloads(mark + body) == [{"n": 1, "note": "a"}]


def test_names_of_fields_decide_between_two_delimiters() -> None:
    assert payloads('n;"note";a,b,c,d\n1;x;y\n') == [{"n": 1, "note": "x", "a,b,c,d": "y"}]


@pytest.mark.parametrize(
    ("line", "delimiter"), [("sep=,", ","), ("sep=;", ";"), ("SEP=\t", "\t"), ('"sep=|"', "|"), ("sep=;;", ";")]
)
def test_a_line_sep_names_the_delimiter(line: str, delimiter: str) -> None:
    (row,) = read(f"{line}\r\ncustom_id{delimiter}n\r\na{delimiter}1\r\n")
    assert isinstance(row, Row)
    assert (row.line, row.custom_id, row.payload) == (3, "a", {"n": 1})


def test_a_line_sep_with_another_delimiter_is_refused() -> None:
    found = rejection("sep=:\nn:note\n1:a\n")
    assert (found.line, "commas, semicolons or tabs" in found.detail) == (1, True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("id|n\n1|2\n", ["no column `n`", "id|n", "commas, semicolons or tabs"]),
        ("1,2\n3,4\n", ["no column `n`", "The first row", "n, note"]),
        ("note,n,note\n", ["Two columns", "`note`"]),
        ("n,,note\n1,2,3\n", ["Column 2 has no name"]),
    ],
)
def test_a_header_that_cannot_be_right_is_refused_with_advice(body: str, words: list[str]) -> None:
    schema = {"properties": {"n": {"type": "integer"}, "note": {"type": "string"}}, "required": ["n"]}
    found = rejection(body, schema)
    assert (found.code, found.line) == ("malformed_csv", 1)
    assert [word for word in words if word not in found.detail] == []


@pytest.mark.parametrize("name", ["custom_id", "Custom ID", "CUSTOM-ID", " custom_id "])
def test_the_column_of_ids_is_found_however_its_name_is_written(name: str) -> None:
    (row,) = read(f"{name},n\n-17,1\n")
    assert isinstance(row, Row)
    assert (row.custom_id, row.payload) == ("-17", {"n": 1})


def test_empty_rows_and_cells_beyond_the_header_are_no_items() -> None:
    body = ",,\ncustom_id,n,,\na,1,,\n,\n,,,,\n   \n\nb,2\n,,,\n"
    rows = [row for row in read(body) if isinstance(row, Row)]
    assert [(row.line, row.custom_id, row.payload) for row in rows] == [(3, "a", {"n": 1}), (8, "b", {"n": 2})]


def test_a_value_beyond_the_header_is_refused() -> None:
    found = rejection("n,note,\n1,a,lost\n")
    assert (found.line, found.detail.startswith("The row has 3 cells, the header has 2.")) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_unicode_with_a_byte_order_mark_is_understood(encoding: str, piece: int) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    body = marks.get(encoding, b"") + "n\tnote\r\n1\tGrüße 🎵\r\n".encode(encoding)
    reader = CsvReader(SCHEMA)
    found = [row for start in range(0, len(body), piece) for row in reader.feed(body[start : start + piece])]
    (row,) = [*found, *reader.finish()]
    assert isinstance(row, Row)
    assert row.payload == {"n": 1, "note": "Grüße 🎵"}


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("n,note\n1,ok\n2,Größe\n".encode("windows-1252"), 3, ["0xF6", "Windows-1252", "UTF-8", "iconv"]),
        ("n,note\n1,ok\n".encode("utf-16-le"), None, ["UTF-16", "without a byte-order mark"]),
        (codecs.BOM_UTF16_LE + b"n\0,\0\x00\xd8\n\0", None, ["byte-order mark", "UTF-8"]),
        (b"n,note\r1,a\r2,b\r", 1, ["carriage return"]),
    ],
)
def test_other_encodings_and_line_ends_are_refused_with_the_word_that_helps(
    body: bytes, line: int | None, words: list[str]
) -> None:
    found = rejection(body)
    assert (found.code, found.line) == ("malformed_csv", line)
    assert [word for word in words if word not in found.detail] == []


def test_rows_before_a_byte_that_is_not_text_are_read() -> None:
    found = read(b"n,note\n1,a\n2,b\n3,\xe9\n4,d\n")
    assert [row.payload["n"] for row in found if isinstance(row, Row)] == [1, 2]
    assert isinstance(found[-1], Rejection)
    assert found[-1].line == 4


CELLS = st.text(st.sampled_from('ab ,;"\t0123456789.-+eE='), max_size=6) | st.integers().map(str) | st.just("")


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30), st.data())
def test_every_line_is_an_item_a_rejection_or_empty(rows: list[list[str]], data: st.DataObject) -> None:
    """Rows that `csv` writes, and no row that is dropped: each has a line, and the lines are all there."""
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
    body = ("n,note\n" + "".join(f"{a},{b}\n" for a, b in quoted)).encode()
    cut = data.draw(st.integers(0, len(body)))
    reader = CsvReader(SCHEMA)
    found = [*reader.feed(body[:cut]), *reader.feed(body[cut:]), *reader.finish()]
    lines = [each.line for each in found]
    empty = [line for line, (a, b) in enumerate(rows, 2) if not a.strip() and not b]
    assert sorted([*lines, *empty], key=int) == list(range(2, len(rows) + 2))  # type: ignore[arg-type]
    for each in found:
        if isinstance(each, Row):
            assert each.payload.get("note", "") == rows[each.line - 2][1]


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b'"', b"\n", b"\r", b",", b";", b"\xff\xfe", b"n,note\n"])))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    reader = CsvReader(SCHEMA)
    found = [row for piece in pieces for row in reader.feed(piece)]
    assert all(isinstance(each, Row | Rejection) for each in [*found, *reader.finish()])


def test_a_stray_return_in_an_open_record_is_refused() -> None:
    found = rejection('n,note\n1,"a\nb",c\rd\n')
    assert (found.line, "carriage return" in found.detail) == (2, True)

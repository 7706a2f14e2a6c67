"""NDJSON and CSV readers: the chunks in which a body arrives make no difference."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.readers.csv_rows import CsvReader
from services.ingest.domain.readers.ndjson import NdjsonReader
from services.ingest.domain.readers.rows import MAX_LINE_BYTES, Reader, Row
from services.ingest.domain.rejection import Rejection

SCHEMA = {
    "properties": {
        "n": {"type": "integer"},
        "x": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "b": {"type": "boolean"},
        "s": {"type": ["string", "null"]},
        "l": {"type": "array"},
    }
}


def ndjson() -> NdjsonReader:
    return NdjsonReader({})


def read(reader: Reader, body: bytes, cuts: list[int] | None = None) -> list[Row | Rejection]:
    places = sorted(cut % (len(body) + 1) for cut in cuts or [])
    pieces = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    found = [row for piece in pieces for row in reader.feed(piece)]
    return [*found, *reader.finish()]


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (ndjson, '{"a": "ä\\n"}\n\n{"payload": {"b": 1}, "custom_id": "x"}\r\n[1]\n{"c": 2}'.encode()),
        (ndjson, b'{"a": 1}\n{"a": \n{"a": 2}\n'),
        (lambda: CsvReader(SCHEMA), 'n,s,custom_id\r\n1,"ä ""q"",\r\nzwei",c\r\n\r\n2,,\n3,x,y'.encode()),
    ],
)
@given(cuts=st.lists(st.integers(0, 1000), max_size=20))
def test_chunk_boundaries_make_no_difference(make: Callable[[], Reader], body: bytes, cuts: list[int]) -> None:
    whole = read(make(), body)
    pieces = read(make(), body, cuts)
    stop = next((n for n, row in enumerate(whole) if isinstance(row, Rejection)), len(whole))
    assert pieces[: stop + 1] == whole[: stop + 1]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
    lambda name: name not in {"payload", "custom_id"}
)
VALUES = st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=10))
def test_ndjson_round_trips(values: list[dict[str, Any]]) -> None:
    body = "\n".join(json.dumps(value, ensure_ascii=False) for value in values).encode()
    found = read(NdjsonReader({}), body)
    rows = [row for row in found if isinstance(row, Row)]
    assert [row.payload for row in rows] == values
    assert [json.loads(row.raw) for row in rows] == values
    assert [row.line for row in found if isinstance(row, Row)] == list(range(1, len(values) + 1))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=10))
def test_csv_round_trips(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("s", "t"), *rows])
    found = read(CsvReader(SCHEMA), text.getvalue().encode())
    payloads = [row.payload for row in found if isinstance(row, Row)]
    assert payloads == [{k: v for k, v in (("s", a), ("t", b)) if v} for a, b in rows if a or b]


def test_cells_are_converted_to_the_type_in_the_schema() -> None:
    (row,) = read(CsvReader(SCHEMA), b"n,x,b,s,l,other\n12,1.5e3,TRUE,12,[1],7\n")
    assert isinstance(row, Row)
    assert row.payload == {"n": 12, "x": 1500.0, "b": True, "s": "12", "l": [1], "other": "7"}


def test_the_column_custom_id_is_the_custom_id_unless_it_is_a_field() -> None:
    (row,) = read(CsvReader(SCHEMA), b"custom_id,n\nc,1\n")
    assert isinstance(row, Row)
    assert (row.custom_id, row.payload) == ("c", {"n": 1})
    (row,) = read(CsvReader({"properties": {"custom_id": {"type": "string"}}}), b"custom_id\nc\n")
    assert isinstance(row, Row)
    assert (row.custom_id, row.payload) == (None, {"custom_id": "c"})


@pytest.mark.parametrize("make", [ndjson, lambda: CsvReader({})])
def test_an_endless_line_is_rejected_early(make: Callable[[], Reader]) -> None:
    reader = make()
    rejections: list[Row | Rejection] = []
    for _ in range(MAX_LINE_BYTES // 50_000 + 1):
        rejections += reader.feed(b'"' + b"x" * 49_999)
    assert [rejection.code for rejection in rejections if isinstance(rejection, Rejection)] == ["item_too_large"]


def rejections(found: list[Row | Rejection]) -> list[tuple[str, int | None]]:
    return [(each.code, each.line) for each in found if isinstance(each, Rejection)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b's\n"never ends\n', [("malformed_csv", 2)]),
        (b's\nok\n"a"b\n', [("malformed_csv", 3)]),
        (b"s\nok\n\xff\nok\n", [("malformed_csv", 3)]),
        (b"s,t\n1,2\n1,2,3\n", [("malformed_csv", 3)]),
        (b"s,t\n1\n", [("malformed_csv", 2)]),
        (b"s,,t\n", [("malformed_csv", 1)]),
        (b"s, s \n", [("malformed_csv", 1)]),
        (b",".join(b"c%d" % n for n in range(201)) + b"\n", [("malformed_csv", 1)]),
        (b"s,custom_id\nok,a\nbad," + b"x" * 129 + b"\n", [("invalid_item", 3)]),
    ],
    ids=[
        "a quote that is never closed",
        "text after a quote",
        "not UTF-8",
        "too many cells",
        "too few cells",
        "a column without a name",
        "a name twice",
        "too many columns",
        "a custom id that is too long",
    ],
)
def test_a_rejection_in_csv_has_the_line_where_its_row_starts(body: bytes, expected: list[tuple[str, int]]) -> None:
    assert rejections(read(CsvReader({}), body)) == expected


def test_a_row_over_several_lines_that_grows_too_long_is_rejected_before_it_ends() -> None:
    lines = b's\n"' + (b"x" * 999 + b"\n") * (MAX_LINE_BYTES // 999 + 2)
    found = list(CsvReader({}).feed(lines))
    assert [each.code for each in found if isinstance(each, Rejection)] == ["item_too_large"]
    assert not any(isinstance(each, Row) for each in found)


def test_a_cell_of_empty_lines_is_as_long_as_its_line_ends() -> None:
    found = list(CsvReader({}).feed(b's\n"' + b"\n" * (MAX_LINE_BYTES + 1)))
    assert rejections(found) == [("item_too_large", MAX_LINE_BYTES + 2)]


def test_a_cell_may_be_as_long_as_an_item() -> None:
    (row,) = read(CsvReader({}), b"s\n" + b"x" * 200_000)
    assert isinstance(row, Row)
    assert row.payload == {"s": "x" * 200_000}


def test_a_csv_file_may_begin_with_a_byte_order_mark_and_hold_two_hundred_columns() -> None:
    (row,) = read(CsvReader({}), b"\xef\xbb\xbfs\n1\n")
    assert isinstance(row, Row)
    assert row.payload == {"s": "1"}
    names = b",".join(b"c%d" % n for n in range(200))
    assert rejections(read(CsvReader({}), names + b"\n" + names + b"\n")) == []


def test_a_schema_without_named_fields_leaves_every_cell_as_text() -> None:
    for schema in ({"properties": ["n"]}, {"properties": {"n": True}}, {"properties": {"n": {"type": 5}}}):
        (row,) = read(CsvReader(schema), b"n\n12\n")
        assert isinstance(row, Row)
        assert row.payload == {"n": "12"}


def test_a_line_of_ndjson_of_the_largest_size_is_accepted_and_a_larger_one_rejected() -> None:
    largest = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 8) + b'"}'
    assert len(largest) == MAX_LINE_BYTES
    assert rejections(read(ndjson(), b"{}\n" + largest + b"\n")) == []
    assert rejections(read(ndjson(), b"{}\n" + largest + b" \n")) == [], "trailing spaces do not count"
    assert rejections(read(ndjson(), b"{}\n" + largest[:-2] + b'x"}\n{}\n')) == [("item_too_large", 2)]


@pytest.mark.parametrize("custom_id", ["", "x" * 129, 7, ["a"], "a\nb"])
def test_an_invalid_custom_id_in_ndjson_is_rejected_with_its_line(custom_id: object) -> None:
    body = b"{}\n" + json.dumps({"payload": {}, "custom_id": custom_id}).encode()
    assert rejections(read(ndjson(), body)) == [("invalid_item", 2)]


def test_ndjson_may_have_a_byte_order_mark_only_at_its_start() -> None:
    mark = b"\xef\xbb\xbf"
    assert rejections(read(ndjson(), mark + b"{}\n")) == []
    assert rejections(read(ndjson(), b"{}\n" + mark + b"{}\n")) == [("malformed_json", 2)]

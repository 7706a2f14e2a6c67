"""Items are read from three formats, and what is wrong is named with its line."""

import io
from functools import partial

import pytest

from services.cli.cells import typed_cell
from services.cli.errors import BadInput
from services.cli.items import Format, Item, format_of, read_items

SCHEMA = {
    "properties": {
        "url": {"type": "string"},
        "n": {"type": "integer"},
        "ratio": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "fast": {"type": "boolean"},
        "tags": {"$ref": "#/$defs/Tags"},
    },
    "$defs": {"Tags": {"type": "array"}},
}


def read(text: str | bytes, kind: Format) -> list[Item]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_items(io.BytesIO(data), kind, partial(typed_cell, SCHEMA)))


def test_a_json_list_holds_payloads_or_items() -> None:
    found = read('[{"n": 1}, {"payload": {"n": 2}, "custom_id": "b"}, {"payload": {"n": 3}, "other": 1}]', Format.JSON)
    assert [item.body for item in found] == [
        {"payload": {"n": 1}},
        {"payload": {"n": 2}, "custom_id": "b"},
        {"payload": {"payload": {"n": 3}, "other": 1}},
    ]


def test_a_json_command_is_taken_by_its_items() -> None:
    assert [item.body for item in read('{"items": [{"n": 1}]}', Format.JSON)] == [{"payload": {"n": 1}}]


def test_ndjson_counts_lines_and_skips_empty_ones() -> None:
    found = read(b'\xef\xbb\xbf{"n": 1}\n\n  \n{"n": 2}', Format.NDJSON)
    assert [(item.line, item.body["payload"]["n"]) for item in found] == [(1, 1), (4, 2)]


def test_csv_cells_become_what_the_schema_expects() -> None:
    found = read('url,n,ratio,fast,tags,custom_id\n007,7,0.5,yes,"[1,2]",a\nx,seven,,maybe,no,\n', Format.CSV)
    assert found[0].body == {
        "payload": {"url": "007", "n": 7, "ratio": 0.5, "fast": True, "tags": [1, 2]},
        "custom_id": "a",
    }
    assert found[1].body == {"payload": {"url": "x", "n": "seven", "fast": "maybe", "tags": "no"}}
    assert [item.line for item in found] == [2, 3]


def test_a_csv_cell_may_hold_commas_quotes_and_line_breaks() -> None:
    (item,) = read('url\n"a,""b""\nc"\n', Format.CSV)
    assert item.body["payload"]["url"] == 'a,"b"\nc'


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
def test_what_json_cannot_write_stays_text(text: str) -> None:
    assert typed_cell(SCHEMA, "ratio", text) == text


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ('{"n": 1}\n{"n": \n', Format.NDJSON, "Line 2 is not JSON"),
        ('{"n": 1}\n[1]\n', Format.NDJSON, "Line 2 is not a JSON object"),
        ('{"n": 1}', Format.JSON, "not a JSON list"),
        ("[1]", Format.JSON, "Item 1 is not a JSON object"),
        ("[", Format.JSON, "not JSON"),
        ("", Format.CSV, "no header"),
        ("a,a\n1,2\n", Format.CSV, "repeated name"),
        ("a,b\n1,2\n1\n", Format.CSV, "Line 3 has another number of cells"),
        ("a\n1,2\n", Format.CSV, "Line 2 has another number of cells"),
        ('a\n"x\n', Format.CSV, "of the CSV"),
        (b"a\n\xff\xfe\n", Format.CSV, "of the CSV"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, kind: Format, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(text, kind)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.json", b"", Format.JSON),
        ("a.JSONL", b"[", Format.NDJSON),
        ("a.csv", b"{", Format.CSV),
        ("-", b'\n [{"a": 1}]', Format.JSON),
        ("-", b'\xef\xbb\xbf{"a": 1}', Format.NDJSON),
    ],
)
def test_the_format_is_told_by_the_name_then_by_the_start(name: str, start: bytes, kind: Format) -> None:
    assert format_of(name, start) is kind


def test_an_unclear_format_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="not clear"):
        format_of("-", b"url,n\n")

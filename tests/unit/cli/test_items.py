"""Formats are told apart, JSON lists are read, and what is wrong is named."""

import io

import pytest

from services.cli.errors import BadInput
from services.cli.parsing.format import Format
from services.cli.parsing.items import format_of, read_list, read_object, read_options


def read(text: str | bytes) -> list[bytes]:
    return read_list(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def test_the_items_of_a_json_list_stay_as_they_are_written() -> None:
    found = read('[{"n": 100000000000000000001},\n {"payload":\r\n{"x": 1.50}, "custom_id": "ä"}, 7]')
    assert found == [b'{"n": 100000000000000000001}', '{"payload":  {"x": 1.50}, "custom_id": "ä"}'.encode(), b"7"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_list_may_have_a_byte_order_mark(encoding: str) -> None:
    assert read('[{"s": "ä"}]'.encode(encoding)) == ['{"s": "ä"}'.encode()]


def test_an_object_may_hold_the_list_and_nothing_else() -> None:
    assert read(' {"items": [{"n": 1}]}') == [b'{"n": 1}']
    with pytest.raises(BadInput, match="has the field 'priority' beside `items`"):
        read('{"items": [{"n": 1}], "priority": "low"}')


def test_items_of_the_command_line_may_have_line_breaks() -> None:
    assert read_options(['{"n":\n1}', '{"payload": {"n": 2}}']) == [b'{"n": 1}', b'{"payload": {"n": 2}}']


def test_a_source_stays_as_it_is_written() -> None:
    assert read_object(io.BytesIO(b'{"id": 100000000000000000001}')) == b'{"id": 100000000000000000001}'
    with pytest.raises(BadInput, match="not a JSON object"):
        read_object(io.BytesIO(b"[1]"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"n": 1}', "not a JSON list"),
        ('"n"', "not a JSON list"),
        ("[", "The file is not JSON"),
        ("[1,]", "line 1 column 3"),
        ('[{"n": 1e400}]x', "not JSON"),
        ("{", "not JSON"),
        ("n,m", "not JSON"),
        ("", "not a JSON list"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_errors_are_named(text: str | bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(text)


def test_a_wrong_item_of_the_command_line_is_named() -> None:
    with pytest.raises(BadInput, match="Item 2 is not JSON"):
        read_options(["{}", "{"])


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.json", b"", Format.JSON),
        ("a.JSONL", b"[", Format.NDJSON),
        ("a.csv", b"{", Format.CSV),
        ("-", b'\n [{"a": 1}]', Format.JSON),
        ("-", b'\xef\xbb\xbf{"a": 1}', Format.NDJSON),
        ("-", ' {"a": 1}'.encode("utf-16"), Format.NDJSON),
    ],
)
def test_the_format_is_told_by_the_name_then_by_the_start(name: str, start: bytes, kind: Format) -> None:
    assert format_of(name, start) is kind


def test_an_unclear_format_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="not clear"):
        format_of("-", b"url,n\n")

"""Formats are told apart, JSON lists are read, and what is wrong is named."""

import io
from typing import Any

import pytest

from services.cli.errors import BadInput
from services.cli.parsing.items import Format, format_of, read_list, read_options


def read(text: str | bytes) -> list[dict[str, Any]]:
    return read_list(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def test_a_json_list_holds_payloads_or_items() -> None:
    found = read(
        '[{"n": 1}, {"payload": {"n": 2}, "custom_id": "b"}, {"payload": {"n": 3}, "other": 1}, {"payload": 4}]'
    )
    assert found == [
        {"payload": {"n": 1}},
        {"payload": {"n": 2}, "custom_id": "b"},
        {"payload": {"payload": {"n": 3}, "other": 1}},
        {"payload": {"payload": 4}},
    ]


def test_a_json_command_is_taken_by_its_items() -> None:
    assert read(b'\xef\xbb\xbf{"items": [{"n": 1}]}') == [{"payload": {"n": 1}}]


def test_items_of_the_command_line_may_have_line_breaks() -> None:
    assert read_options(['{"n":\n1}', '{"payload": {"n": 2}}']) == [{"payload": {"n": 1}}, {"payload": {"n": 2}}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"n": 1}', "not a JSON list"),
        ("[1]", "Item 1 is not a JSON object"),
        ("[", "The file is not JSON"),
        ("", "not JSON"),
    ],
)
def test_errors_are_named(text: str, words: str) -> None:
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
    ],
)
def test_the_format_is_told_by_the_name_then_by_the_start(name: str, start: bytes, kind: Format) -> None:
    assert format_of(name, start) is kind


def test_an_unclear_format_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="not clear"):
        format_of("-", b"url,n\n")

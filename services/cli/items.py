"""Reads items from JSON, NDJSON and CSV, each with the line it stood on, so that an error can name it."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

import orjson

from services.cli.errors import BadInput

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_JSON_BYTES = 256 * 1024 * 1024
"""A JSON list is read whole; whoever has more writes NDJSON, which is not."""

Cell = Callable[[str, str], Any]
"""From a column's name and a cell to the value: `cells.typed_cell`."""


class Format(StrEnum):
    """How items are written in a file."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


_ENDINGS = {".json": Format.JSON, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}


@dataclass(frozen=True, slots=True)
class Item:
    """An item as a command carries it, and where it came from."""

    body: dict[str, Any]
    line: int


def format_of(name: str, start: bytes) -> Format:
    """Tell the format from the ending of a file's name, else from its first bytes."""
    for ending, known in _ENDINGS.items():
        if name.lower().endswith(ending):
            return known
    match start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
        case b"[":
            return Format.JSON
        case b"{":
            return Format.NDJSON
    raise BadInput(f"The format of {name} is not clear.", "Name it: --format json, ndjson or csv.")


def read_items(source: IO[bytes], kind: Format, cell: Cell) -> Iterator[Item]:
    """Give the items one after the other. Raises BadInput with the line of the first that cannot be read."""
    match kind:
        case Format.JSON:
            return _json(source)
        case Format.NDJSON:
            return _ndjson(source)
        case Format.CSV:
            return _csv(source, cell)


def _json(source: IO[bytes]) -> Iterator[Item]:
    text = source.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise BadInput(f"A JSON list may have {MAX_JSON_BYTES >> 20} MiB.", "Write it as NDJSON, one item a line.")
    document = _parse(text.removeprefix(b"\xef\xbb\xbf"), "The file")
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        document = document["items"]
    if not isinstance(document, list):
        raise BadInput("The file is not a JSON list of items.", "Write [{…}, {…}], or NDJSON with one item a line.")
    for number, value in enumerate(document, 1):
        yield _item(value, number, "Item")


def _ndjson(source: IO[bytes]) -> Iterator[Item]:
    for number, text in _lines(source):
        if text.strip():
            yield _item(_parse(text, f"Line {number}"), number, "Line")


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while text := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(text) > MAX_LINE_BYTES:
            raise BadInput(f"Line {number} is longer than {MAX_LINE_BYTES >> 20} MiB.", "Make the item smaller.")
        yield number, text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text


def _csv(source: IO[bytes], cell: Cell) -> Iterator[Item]:
    rows = csv.DictReader((line.decode() for _, line in _lines(source)), strict=True)
    try:
        if not rows.fieldnames:
            raise BadInput("The CSV has no header.", "Its first line names the fields of an item.")
        if len(set(rows.fieldnames)) < len(rows.fieldnames) or not all(rows.fieldnames):
            raise BadInput("The header of the CSV has an empty or a repeated name.", "Give each column its own name.")
        for row in rows:
            yield _row(row, rows.line_num, cell)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"Line {rows.line_num} of the CSV: {error}.", "Save it as CSV in UTF-8.") from error


def _row(row: Mapping[str | None, Any], line: int, cell: Cell) -> Item:
    if None in row or any(value is None for value in row.values()):
        raise BadInput(f"Line {line} has another number of cells than the header.", "Quote cells that hold commas.")
    payload = {name: cell(name, text) for name, text in row.items() if name and name != "custom_id" and text != ""}
    body: dict[str, Any] = {"payload": payload}
    if row.get("custom_id"):
        body["custom_id"] = row["custom_id"]
    return Item(body, line)


def _item(value: object, number: int, noun: str) -> Item:
    if not isinstance(value, dict):
        raise BadInput(f"{noun} {number} is not a JSON object.", 'Write each item as an object, like {"url": "…"}.')
    wrapped = isinstance(value.get("payload"), dict) and set(value) in ({"payload"}, {"payload", "custom_id"})
    return Item(value if wrapped else {"payload": value}, number)


def _parse(text: bytes, what: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{what} is not JSON: {error}.", "Correct it, then submit again: nothing was sent.") from error

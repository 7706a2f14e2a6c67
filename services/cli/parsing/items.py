"""Recognises the format of an item file, and reads JSON lists. The server itself reads NDJSON and CSV."""

from collections.abc import Iterable
from enum import StrEnum
from typing import IO, Any

import orjson

from services.cli.errors import BadInput

MAX_JSON_BYTES = 256 * 1024 * 1024
"""Largest JSON list, which is read as a whole; larger files have to be NDJSON."""


MAX_SOURCE_BYTES = 1536 * 1024
"""Largest source, which is the payload of item 0."""


class Format(StrEnum):
    """File formats of items."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES = {Format.JSON: "application/json", Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv"}
_ENDINGS = {".json": Format.JSON, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}


def format_of(name: str, start: bytes) -> Format:
    """Return the format by the ending of a file's name, else by its first bytes."""
    for ending, known in _ENDINGS.items():
        if name.lower().endswith(ending):
            return known
    match start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
        case b"[":
            return Format.JSON
        case b"{":
            return Format.NDJSON
    raise BadInput(f"The format of {name} is not clear.", "Name it: --format json, ndjson or csv.")


def read_list(source: IO[bytes]) -> list[dict[str, Any]]:
    """Read a JSON list of payloads or items, or a command with such a list; return items in the form of a command."""
    text = source.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise BadInput(f"A JSON list may have {MAX_JSON_BYTES >> 20} MiB.", "Write it as NDJSON, one item a line.")
    document = _parsed(text.removeprefix(b"\xef\xbb\xbf"), "The file")
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        document = document["items"]
    if not isinstance(document, list):
        raise BadInput("The file is not a JSON list of items.", "Write [{…}, {…}], or NDJSON with one item a line.")
    return [_item(value, f"Item {number}") for number, value in enumerate(document, 1)]


def read_object(source: IO[bytes]) -> dict[str, Any]:
    """Read one JSON object."""
    text = source.read(MAX_SOURCE_BYTES + 1)
    if len(text) > MAX_SOURCE_BYTES:
        raise BadInput(f"A source may have {MAX_SOURCE_BYTES >> 10} KiB.", "Write it shorter.")
    document = _parsed(text.removeprefix(b"\xef\xbb\xbf"), "The source")
    if not isinstance(document, dict):
        raise BadInput("The source is not a JSON object.", 'Write it as an object, like {"criteria": […]}.')
    return document


def read_options(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Read the items of the command line, each a JSON object."""
    return [_item(_parsed(text.encode(), f"Item {number}"), f"Item {number}") for number, text in enumerate(texts, 1)]


def _item(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{what} is not a JSON object.", 'Write each item as an object, like {"url": "…"}.')
    if value.keys() in ({"payload"}, {"payload", "custom_id"}) and isinstance(value["payload"], dict):
        return value
    return {"payload": value}


def _parsed(text: bytes, what: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{what} is not JSON: {error}.", "Correct it, then submit again: nothing was sent.") from error

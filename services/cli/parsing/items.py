"""Recognises the format of an item file, and divides JSON lists into items. The server reads each item."""

from collections.abc import Iterable
from typing import IO

import msgspec

from services.cli.errors import BadInput
from services.cli.parsing.format import EXTENSIONS, Format
from services.cli.parsing.json_text import as_utf8, read_as, read_json

MAX_JSON_BYTES = 256 * 1024 * 1024
"""Largest JSON list, which is read as a whole; larger files have to be NDJSON."""


MAX_SOURCE_BYTES = 1536 * 1024
"""Largest source, which is the payload of item 0."""


def format_of(name: str, start: bytes) -> Format:
    """Return the format by the ending of a file's name, else by its first bytes."""
    for ending, known in EXTENSIONS.items():
        if name.lower().endswith(ending):
            return known
    match as_utf8(start).lstrip()[:1]:
        case b"[":
            return Format.JSON
        case b"{":
            return Format.NDJSON
    raise BadInput(f"The format of {name} is not clear.", "Name it: --format json, ndjson or csv.")


def read_list(source: IO[bytes]) -> list[bytes]:
    """Read a JSON list of items, or an object whose only field `items` is one; return each item as JSON on one
    line."""
    text = source.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise BadInput(f"A JSON list may have {MAX_JSON_BYTES >> 20} MiB.", "Write it as NDJSON, one item a line.")
    text = as_utf8(text)
    if text.lstrip()[:1] == b"{":
        fields = read_as(dict[str, msgspec.Raw], text, "The file", _CORRECT)
        others = sorted(fields.keys() - {"items"})
        if others and "items" in fields:
            what = f"The file has the field {others[0][:50]!r} beside `items`."
            raise BadInput(what, "Give the workload and its options to `batchyard submit`, and the items in the file.")
        text = bytes(fields.get("items", b""))
    if text.lstrip()[:1] != b"[":
        if text.strip():
            read_json(text, "The file", _CORRECT)
        raise BadInput("The file is not a JSON list of items.", "Write [{…}, {…}], or NDJSON with one item a line.")
    return [_line(item) for item in read_as(list[msgspec.Raw], text, "The file", _CORRECT)]


def read_object(source: IO[bytes]) -> bytes:
    """Read one JSON object, and return it as JSON."""
    text = source.read(MAX_SOURCE_BYTES + 1)
    if len(text) > MAX_SOURCE_BYTES:
        raise BadInput(f"A source may have {MAX_SOURCE_BYTES >> 10} KiB.", "Write it shorter.")
    text = as_utf8(text)
    if not isinstance(read_json(text, "The source", _CORRECT), dict):
        raise BadInput("The source is not a JSON object.", 'Write it as an object, like {"criteria": […]}.')
    return text


def read_options(texts: Iterable[str]) -> list[bytes]:
    """Read the items of the command line; return each as JSON on one line."""
    found = []
    for number, text in enumerate(texts, 1):
        encoded = text.encode("utf-8", "surrogateescape")
        read_json(encoded, f"Item {number}", _CORRECT)
        found.append(_line(encoded))
    return found


_CORRECT = "Correct it, then submit again: nothing was sent."


def _line(item: bytes | msgspec.Raw) -> bytes:
    """Return JSON without line ends, which stand only between its parts."""
    return bytes(item).replace(b"\n", b" ").replace(b"\r", b" ")

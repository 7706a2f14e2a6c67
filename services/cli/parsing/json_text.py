"""Reads JSON that people write, from files and from the command line; integers of any size stay exact."""

import codecs
from typing import Any, TypeVar

import msgspec
import orjson

from services.cli.errors import BadInput

_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
T = TypeVar("T")


def as_utf8(text: bytes) -> bytes:
    """Return a text in UTF-8 without its byte-order mark, by which UTF-16 and UTF-32 are recognised."""
    for mark, encoding in _WIDE.items():
        if text.startswith(mark):
            return text.decode(encoding, "replace").encode()
    return text.removeprefix(codecs.BOM_UTF8)


def read_json(text: bytes, what: str, advice: str) -> Any:
    """Return the value of a JSON text; raises `BadInput` with the place of the error and the advice."""
    return read_as(Any, text, what, advice)


def read_as(kind: type[T], text: bytes, what: str, advice: str) -> T:
    """Return the value of a JSON text as a type that takes it."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{what} is not JSON: {_reason(text, error)}.", advice) from error


def _reason(text: bytes, error: Exception) -> str:
    try:
        orjson.loads(text)  # states line and column, which the other parser does not
    except orjson.JSONDecodeError as place:
        return str(place)
    return str(error)

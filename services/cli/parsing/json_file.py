"""Reads a JSON object from a file, and parameters from the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.cli.errors import BadInput
from services.cli.parsing.json_text import as_utf8, read_json

_MAX_BYTES = 4 * 1024 * 1024


def object_of(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or in standard input (`-`); raises `BadInput`."""
    try:
        raw = sys.stdin.buffer.read(_MAX_BYTES + 1) if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.", "Check the name of the file.") from error
    if len(raw) > _MAX_BYTES:
        raise BadInput(f"{file} has more than {_MAX_BYTES} bytes.", "Submit long lists as a batch of its own.")
    found = read_json(as_utf8(raw), str(file), "Write one JSON object.")
    if not isinstance(found, dict):
        raise BadInput(f"{file} is no JSON object.", "Write one JSON object.")
    return found


def metadata_of(text: str | None) -> dict[str, Any]:
    """Return the metadata that an option has as JSON; raises `BadInput`."""
    found = read_json(text.encode(), "The metadata", "Write one JSON object.") if text is not None else {}
    if not isinstance(found, dict):
        raise BadInput("The metadata is no JSON object.", "Write one JSON object, like '{\"order\": 7}'.")
    return found


def parameters_of(file: Path | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return the parameters in a file, and those written as NAME=VALUE, which go before; raises `BadInput`."""
    return {**(object_of(file) if file else {}), **dict(map(_parameter_of, texts))}


def _parameter_of(text: str) -> tuple[str, Any]:
    """Return a parameter that is written as NAME=VALUE; a value that is no JSON is text. Raises `BadInput`."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise BadInput(f"{text!r} is no parameter.", "Write NAME=VALUE.")
    try:
        return name, read_json(value.encode(), "The value", "")
    except BadInput:
        return name, value

"""Formats a JSON value as a few lines for a person: a name and a text each, long texts and lists truncated."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

_MAX_LINES = 30
_MAX_TEXT = 160
_MAX_NAME = 80
_ENTRIES = 5
"""Number of a list's elements that are shown."""


def summary_lines(value: Any) -> list[tuple[str, str]]:
    """Return at most 30 lines as (name, text); a name has at most 80 characters, a text 160."""
    lines = list(islice(_lines("", value), _MAX_LINES + 1))
    cut = [(_truncate(name, _MAX_NAME), _truncate(text, _MAX_TEXT)) for name, text in lines[:_MAX_LINES]]
    return [*cut, ("…", "")] if len(lines) > _MAX_LINES else cut


def _lines(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _lines(f"{name} {_words(key)}".strip(), part)
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for part in value[:_ENTRIES]:
            yield name, _text(part)
        if len(value) > _ENTRIES:
            yield name, f"and {len(value) - _ENTRIES} more"
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else str(value)
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)  # shorter ones may be years
        case dict():
            return ", ".join(f"{_words(key)} {_text(part)}" for key, part in islice(value.items(), _MAX_LINES))
        case list():
            more = [f"and {len(value) - _ENTRIES} more"] if len(value) > _ENTRIES else []
            return ", ".join([*map(_text, value[:_ENTRIES]), *more])
        case _:
            return str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _truncate(text: str, max_chars: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= max_chars else f"{flat[: max_chars - 1]}…"

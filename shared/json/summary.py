"""A JSON value as a few lines for a person: what it holds by name, long texts and long lists cut."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

_LINES = 30
_WIDTH = 160
_NAMES = 80
_ENTRIES = 5
"""Of a list."""


def outline(value: Any) -> list[tuple[str, str]]:
    """Names and texts, a line each, at most 30 of them; a text has at most 160 characters, a name 80."""
    lines = list(islice(_lines("", value), _LINES + 1))
    cut = [(_cut(name, _NAMES), _cut(text, _WIDTH)) for name, text in lines[:_LINES]]
    return [*cut, ("…", "")] if len(lines) > _LINES else cut


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
            return ", ".join(f"{_words(key)} {_text(part)}" for key, part in islice(value.items(), _LINES))
        case list():
            more = [f"and {len(value) - _ENTRIES} more"] if len(value) > _ENTRIES else []
            return ", ".join([*map(_text, value[:_ENTRIES]), *more])
        case _:
            return str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _cut(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"

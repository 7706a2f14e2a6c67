"""Columns of a table of JSON values: nested fields have a column each, lists and all else are JSON text."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from services.ingest.queries.result_page import write_json

Path = tuple[str, ...]
MAX_COLUMNS = 500
MAX_DEPTH = 8
"""Largest number of columns, and of levels of nesting with columns; all else is JSON in `more` or in a column."""
MORE = "more"
"""Last column: the fields that have no column of their own, as JSON."""
_PREFIX = "result_"
_FORMULA = re.compile(r"'*(?:\s*[=+@\-\uff1d\uff0b\uff20\uff0d]|[\t\r\n])")
"""Start of a text that a spreadsheet may run: its sign, full-width too, after white space, or a character that starts a
new cell; or of a text that looks like one that was made safe."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOTHING: Final = object()


class Columns:
    """Columns for values that have these paths; names in `reserved`, and `more`, get a prefix."""

    def __init__(self, paths: Iterable[Path], reserved: Collection[str] = ()) -> None:
        self._root = _Node()
        self.names: list[str] = []
        """Names of the columns, as they are written."""
        taken = {*reserved, MORE}
        for index, path in enumerate(paths):
            name = ".".join(path) or "result"
            while name in taken:
                name = _PREFIX + name
            taken.add(name)
            self._root.descend(path).index = index
            self.names.append(safe_text(name))
        self.names.append(MORE)

    def cells(self, value: Any) -> list[Any]:
        """Return the cells of a value that was read by `read_json`."""
        cells: list[Any] = [""] * len(self.names)
        rest = _place(value, self._root, cells)
        if rest is not _NOTHING:
            cells[-1] = write_json(rest).decode()
        return cells


def paths_of_schema(schema: Mapping[str, Any]) -> list[Path]:
    """Return the paths to the fields that a JSON Schema names; none when it names no fields."""
    if _fields(schema, schema, ()) is None:
        return []
    return list(islice(_schema_paths(schema, schema, (), ()), MAX_COLUMNS))


def paths_of_values(values: Iterable[Any]) -> list[Path]:
    """Return the paths to the fields of values; null has none."""
    found: dict[Path, None] = {}
    for value in values:
        if value is not None:
            found |= dict.fromkeys(islice(_value_paths(value, ()), MAX_COLUMNS))
            if len(found) >= MAX_COLUMNS:
                break
    return list(found)[:MAX_COLUMNS]


def safe_text(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula: one that would run gets an apostrophe in front.

    A number is no formula. A text that already has an apostrophe in front of a formula gets another one, so that taking
    away one of them gives the text back.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def cell(value: Any) -> Any:
    """Return a value as a cell: text made safe, numbers as they are, lists and objects as JSON."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return write_json(value).decode() if isinstance(value, dict | list) else value


class _Node:
    """A field: the index of its column, and the fields in it."""

    __slots__ = ("fields", "index")

    def __init__(self) -> None:
        self.index: int | None = None
        self.fields: dict[str, _Node] = {}

    def descend(self, path: Sequence[str]) -> "_Node":
        node = self
        for name in path:
            node = node.fields.setdefault(name, _Node())
        return node


def _place(value: Any, node: _Node, cells: list[Any]) -> Any:
    """Put a value into its cells; returns what has no cell, or `_NOTHING`."""
    if node.fields and isinstance(value, dict):
        rest = {}
        for name, part in value.items():
            field = node.fields.get(name)
            left = part if field is None else _place(part, field, cells)
            if left is not _NOTHING:
                rest[name] = left
        return rest or _NOTHING
    if node.index is None:
        return _NOTHING if value is None else value
    cells[node.index] = cell(value)
    return _NOTHING


def _schema_paths(schema: Any, root: Mapping[str, Any], path: Path, references: tuple[str, ...]) -> Iterator[Path]:
    found = _fields(schema, root, references) if len(path) < MAX_DEPTH else None
    if found is None:
        yield path
        return
    fields, references = found
    for name, part in fields.items():
        yield from _schema_paths(part, root, (*path, name), references)


def _fields(
    schema: Any, root: Mapping[str, Any], references: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]] | None:
    """Return the fields of a schema that takes an object of named fields or null, and the references that led there."""
    if not isinstance(schema, dict):
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str):
        definitions = root.get("$defs")
        if reference in references or not reference.startswith("#/$defs/") or not isinstance(definitions, dict):
            return None
        return _fields(definitions.get(reference.removeprefix("#/$defs/")), root, (*references, reference))
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        choices = [choice for choice in choices if choice != {"type": "null"}]
        return _fields(choices[0], root, references) if len(choices) == 1 else None
    properties = schema.get("properties")
    return (properties, references) if isinstance(properties, dict) and properties else None


def _value_paths(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and len(path) < MAX_DEPTH:
        for name, part in value.items():
            yield from _value_paths(part, (*path, name))
    else:
        yield path

"""Columns of a table of JSON values: nested fields have a column each, lists and all else are JSON text."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
UNFIT: Final = object()
"""Result of a conversion of a value that its column cannot hold."""
Convert = Callable[[Any], Any]


class Columns:
    """Columns for values that have these paths; names in `reserved`, and `more`, get a prefix.

    `converts` makes the cells of each path, `empty` is the cell of an absent value.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        reserved: Collection[str] = (),
        converts: Sequence[Convert] | None = None,
        empty: str | None = "",
    ) -> None:
        self._root = _Node()
        self._empty = empty
        self.plain_names: list[str] = []
        """Names of the columns."""
        taken = {*reserved, MORE}
        for index, path in enumerate(paths):
            name = ".".join(path) or "result"
            while name in taken:
                name = _PREFIX + name
            taken.add(name)
            node = self._root.descend(path)
            node.index = index
            if converts is not None:
                node.convert = converts[index]
            self.plain_names.append(name)
        self.plain_names.append(MORE)
        self.names = [safe_text(name) for name in self.plain_names]
        """Names of the columns, as CSV has them."""

    def cells(self, value: Any) -> list[Any]:
        """Return the cells of a value that was read by `read_json`."""
        cells: list[Any] = [self._empty] * len(self.names)
        rest = _place(value, self._root, cells)
        if rest is not _NOTHING:
            cells[-1] = write_json(rest).decode()
        return cells


def paths_of_schema(schema: Mapping[str, Any]) -> list[Path]:
    """Return the paths to the fields that a JSON Schema names; none when it names no fields."""
    if _fields(schema, schema, ()) is None:
        return []
    return [path for path, _ in fields_of_schema(schema)]


def fields_of_schema(schema: Mapping[str, Any]) -> list[tuple[Path, str | None]]:
    """Return the paths to the fields that a JSON Schema names, each with the one JSON type of its values beside null,
    if it says so."""
    if _fields(schema, schema, ()) is None:
        return []
    return [
        (path, _type_of(part, schema, ())) for path, part in islice(_schema_paths(schema, schema, (), ()), MAX_COLUMNS)
    ]


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

    __slots__ = ("convert", "fields", "index")

    def __init__(self) -> None:
        self.index: int | None = None
        self.convert: Convert = cell
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
    fitting = node.convert(value)
    if fitting is UNFIT:
        return value
    cells[node.index] = fitting
    return _NOTHING


def _schema_paths(
    schema: Any, root: Mapping[str, Any], path: Path, references: tuple[str, ...]
) -> Iterator[tuple[Path, Any]]:
    found = _fields(schema, root, references) if len(path) < MAX_DEPTH else None
    if found is None:
        yield path, schema
        return
    fields, references = found
    for name, part in fields.items():
        yield from _schema_paths(part, root, (*path, name), references)


def _fields(
    schema: Any, root: Mapping[str, Any], references: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]] | None:
    """Return the fields of a schema that takes an object of named fields or null, and the references that led there."""
    resolved = _resolve(schema, root, references)
    if resolved is None:
        return None
    schema, references = resolved
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        choices = [choice for choice in choices if choice != {"type": "null"}]
        return _fields(choices[0], root, references) if len(choices) == 1 else None
    properties = schema.get("properties")
    return (properties, references) if isinstance(properties, dict) and properties else None


def _type_of(schema: Any, root: Mapping[str, Any], references: tuple[str, ...]) -> str | None:
    """Return the JSON type that a schema permits beside null, if it is one."""
    resolved = _resolve(schema, root, references)
    if resolved is None:
        return None
    schema, references = resolved
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        types = {_type_of(choice, root, references) for choice in choices} - {"null"}
        return types.pop() if len(types) == 1 else None
    of_type = schema.get("type")
    named = [one for one in of_type if one != "null"] if isinstance(of_type, list) else [of_type]
    return named[0] if len(named) == 1 and isinstance(named[0], str) else None


def _resolve(
    schema: Any, root: Mapping[str, Any], references: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]] | None:
    """Return the schema that a schema refers to, or is, and the references that led there; None: it leads nowhere."""
    while isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        definitions = root.get("$defs")
        if reference in references or not reference.startswith("#/$defs/") or not isinstance(definitions, dict):
            return None
        schema, references = definitions.get(reference.removeprefix("#/$defs/")), (*references, reference)
    return (schema, references) if isinstance(schema, dict) else None


def _value_paths(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and len(path) < MAX_DEPTH:
        for name, part in value.items():
            yield from _value_paths(part, (*path, name))
    else:
        yield path

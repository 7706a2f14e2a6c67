"""Named SQL statements, kept in .sql files, and the arrays that they take."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

_HEADING = re.compile(r"^--\s*(name|fragment):\s*(\w+)\s*$", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, str]:
    """Return the statements of a .sql file by the name in the `-- name: …` line above each.

    Text below `-- fragment: …`, such as a list of columns, takes the place of its name in braces.
    """
    parts = _HEADING.split((files(package) / file).read_text("utf-8"))
    found: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    for kind, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        found[kind][name] = text.strip().rstrip(";")
    return {name: _complete(text, found["fragment"]) for name, text in found["name"].items()}


def _complete(text: str, fragments: Mapping[str, str]) -> str:
    for name, content in fragments.items():
        text = text.replace(f"{{{name}}}", content)
    return text


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return rows as columns, each an array for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

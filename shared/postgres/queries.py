"""Named SQL statements, kept in .sql files, and the arrays that they take."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

_NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, str]:
    """Return the statements of a .sql file by the name in the `-- name: …` line above each."""
    parts = _NAME.split((files(package) / file).read_text("utf-8"))
    return {name: text.strip().rstrip(";") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return rows as columns, each an array for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

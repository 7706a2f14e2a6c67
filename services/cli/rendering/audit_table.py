"""Draws entries of the audit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from services.cli.rendering.tables import table_of


def audit_table(entries: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each entry."""
    table = table_of("at", "who", "by", "action", "object", "meaning")
    for entry in entries:
        at = datetime.fromisoformat(entry["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        who = entry["actor"] if entry["actor"] == entry["owner"] else f"{entry['actor']} for {entry['owner']}"
        by = " ".join(filter(None, (entry["door"], entry.get("key_id"), entry.get("address"))))
        table.add_row(at, who, by, entry["action"], entry["object"], Text(_change(entry)))
    return table


def _change(entry: dict[str, Any]) -> str:
    parts = [_values(entry[name]) for name in ("before", "after") if entry.get(name)]
    return " -> ".join(parts)


def _values(state: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in state.items())


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_words, value)) or "none"
    if value is None:
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

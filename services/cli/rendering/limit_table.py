"""Draws the limits of owners."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from services.cli.rendering.tables import table_of

NAMES = {
    "requests": "requests in 10 s",
    "key_requests": "requests in 10 s with one key",
    "waiting_items": "waiting items",
    "waiting_bytes": "bytes of waiting items",
    "uploads": "uploads at a time",
    "websockets": "WebSockets",
    "questions": "questions at a time",
    "deliveries": "receivers of notifications in an hour",
    "weight": "share of the workers",
}


def limits_table(found: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each limit of each owner."""
    table = table_of("owner", "limit", "at most", "set", "in use")
    for one in found:
        for name, words in NAMES.items():
            limit = one["limits"].get(name)
            used = one["in_use"].get(name)
            table.add_row(
                one["owner"],
                words,
                "as in the settings" if limit is None else f"{limit:g}" if name == "weight" else f"{limit:,}",
                "yes" if name in one["set"] else "",
                "" if used is None else f"{used:,}",
            )
    return table

"""Draws templates, and what differs between their versions."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from services.cli.rendering.tables import table_of


def templates_table(templates: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each template, or version of one."""
    table = table_of("template", "version", "workload", "created", "by", "description")
    for one in templates:
        by = f"{one['created_by']}, shared" if one["shared"] else one["created_by"]
        created = one["created_at"][:16].replace("T", " ")
        table.add_row(one["name"], str(one["version"]), one["workload"], created, by, one["description"])
    return table


def changed_lines(changes: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each side of each difference."""
    for change in changes:
        yield change["pointer"] or "/"
        for side, sign in (("before", "-"), ("after", "+")):
            if side in change:
                yield f"  {sign} {json.dumps(change[side], ensure_ascii=False)}"

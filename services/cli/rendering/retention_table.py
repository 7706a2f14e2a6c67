"""Draws the retention: what holds, and the rules."""

from typing import Any

from rich.table import Table

from services.cli.rendering.tables import table_of

NAMES = {
    "payloads": "payloads",
    "outcomes": "outcomes, results and failures",
    "deliveries": "deliveries of notifications",
    "batch": "the batch, with everything",
}


def retention_table(found: dict[str, Any]) -> Table:
    """Return a table with a row for each kind of what is kept, and a column for each rule."""
    rules = found["rules"]
    table = table_of("kept after the end", "for", "by default", *(_whose(rule) for rule in rules))
    for kind, words in NAMES.items():
        days = [one.get(kind) for one in (found["effective"], found["defaults"])]
        set_ = [rule["days"].get(kind) for rule in rules]
        table.add_row(words, *map(_days, days), *("" if one is None else _days(one) for one in set_))
    return table


def _whose(rule: dict[str, Any]) -> str:
    names = [rule[name] for name in ("owner", "workload") if rule[name] != "*"]
    return ", ".join(names) or "all"


def _days(days: float | None) -> str:
    return "until deleted" if days is None else f"{days:g} day{'' if days == 1 else 's'}"

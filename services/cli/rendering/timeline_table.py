"""The timeline of a batch as a table, the oldest first, as a log is read."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from services.cli.client.timeline_documents import TimelineEntry
from services.cli.rendering.rate_text import rate_text

_STYLES = {"circuit_opened": "red", "circuit_closed": "green", "cancelled": "magenta", "paused": "yellow"}


def timeline_table(entries: Sequence[TimelineEntry]) -> Table:
    """Return a row for each entry; `entries` are those of the server, the newest first."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for entry in reversed(entries):
        kind = Text(entry.kind.replace("_", " "), _STYLES.get(entry.kind, ""))
        table.add_row(f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}", kind, Text(_words(entry)))
    return table


def _words(entry: TimelineEntry) -> str:
    words: list[str] = []
    if entry.actor:
        words.append(f"by {entry.actor}" + (f" ({entry.door})" if entry.door else ""))
    if entry.kind == "rate_changed":
        before, after = ((each or {}).get("per_second") for each in (entry.before, entry.after))
        words.append(f"{entry.partition or 'all destinations'} from {rate_text(before)} to {rate_text(after)}")
    elif entry.partition is not None:
        words.append(entry.partition or "the provider")
    if entry.kind in {"started", "retried", "results_accepted"} and entry.round:
        words.append(f"round {entry.round}")
    if entry.kind in {"changed", "retried", "results_accepted"} and entry.after:
        shown = {name: value for name, value in entry.after.items() if name not in {"round", "reason"}}
        words += [f"{name} {_value(value)}" for name, value in shown.items()]
    if entry.result:
        words.append(entry.result)
    if entry.reason:
        words.append(entry.reason.replace("_", " ") if entry.kind == "ended" else entry.reason)
    return ", ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_value(each)}" for name, each in value.items())
    return " ".join(map(_value, value)) if isinstance(value, list) else str(value)

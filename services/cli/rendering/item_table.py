"""Items of a batch as a table, and one item as a block of text."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.client.item_documents import FailedAttempt, Item
from services.cli.rendering.tables import table_of

_STYLES = {"succeeded": "green", "failed": "red", "expired": "red", "cancelled": "magenta", "retrying": "yellow"}


def items_table(items: Iterable[Item]) -> RenderableType:
    """Return a table with a row for each item."""
    table = table_of("item", "id", "state", "attempts", "destination", "took", "message")
    for item in items:
        took = "" if item.elapsed_ms is None else f"{item.elapsed_ms} ms"
        state = Text(item.state.replace("_", " "), _STYLES.get(item.state, ""))
        cells = (str(item.ordinal), Text(item.custom_id or ""), state, str(item.attempts or ""))
        table.add_row(*cells, Text(item.partition or ""), took, Text(_words(item)))
    return table


def item_block(item: Item) -> Table:
    """Return everything about one item, with a line for each fact."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    took = "" if item.elapsed_ms is None else f"{item.elapsed_ms} ms"
    rows = [
        ("item", str(item.ordinal)),
        ("id", item.custom_id),
        ("state", item.state.replace("_", " ")),
        ("", _words(item)),
        ("destination", item.partition),
        ("round", item.round and str(item.round)),
        ("attempts", str(item.attempts or "")),
        *(("failed", _attempt(each)) for each in item.failed_attempts),
        ("took", took),
        ("ended", item.ended_at and _clock(item.ended_at)),
        ("cause", item.cause),
        ("payload", bytes(item.payload).decode()),
        ("result", bytes(item.result).decode()),
    ]
    for name, words in rows:
        if words:
            table.add_row(name, Text(words))
    return table


def _attempt(one: FailedAttempt) -> str:
    """Return a failed attempt in words."""
    message = f": {one.error.message}" if one.error.message else ""
    return f"attempt {one.attempt} at {_clock(one.at)}, after {one.elapsed_ms} ms: {one.error.code}{message}"


def _words(item: Item) -> str:
    """Return in words what happens to an item, or why it ended as it did."""
    words = []
    if item.since:
        words.append(f"since {_clock(item.since)}" + (f" at {item.worker_id}" if item.worker_id else ""))
    if item.retry_at:
        words.append(f"again at {_clock(item.retry_at)}")
    if item.error:
        after = "after " if item.retry_at else ""
        words.append(f"{after}{item.error.code}" + (f": {item.error.message}" if item.error.message else ""))
    if item.duplicate_of is not None:
        batch = f" of {item.duplicate_of_batch}" if item.duplicate_of_batch else ""
        words.append(f"same as item {item.duplicate_of}{batch}")
    if item.cached:
        words.append("known result")
    return ", ".join(words)


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"

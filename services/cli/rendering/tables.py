"""Formats responses of the server as tables and short blocks of text."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.client.documents import Batch, Counts, Deliveries, FailureGroup, Worker
from services.cli.rendering.delivery_rows import delivery_rows
from services.cli.rendering.forecast_text import forecast_with_reason
from services.cli.rendering.spans import age
from services.cli.rendering.term_rows import term_rows
from services.cli.rendering.waiting import waiting_text
from shared.json.summary import summary_lines

_STYLES = {
    "completed": "green",
    "partial": "yellow",
    "failed": "red",
    "cancelled": "magenta",
    "paused": "yellow",
    "running": "cyan",
    "open": "cyan",
}

STOPPED: dict[str, str] = {
    "deadline": "its deadline passed: what had not ended expired",
    "failure_threshold": "more items failed than --failure-threshold allows: the rest was cancelled",
    "never_sealed": "nothing was added for too long, and it was never sealed: what waited expired",
    "internal_error": "its own data made a service fail: the rest was cancelled. Retry it; report it if it stops again",
}
"""Explanations of the reasons for which a service stops a batch."""
_STATUSES = ("succeeded", "failed", "cancelled", "expired", "duplicate")

_COMMANDS = 10
"""Number of causes whose command is printed."""
_WIDE = 100
"""Width of a terminal from which on a list of batches has a column for their names."""


def batches_table(batches: Iterable[Batch], now: datetime, width: int, *, with_owner: bool = False) -> Table:
    """Return a table with a row for each batch, for a terminal of this width; `batch_block` shows the rest."""
    columns = ("batch", "workload", "state", "items", "accepted", "owner" if with_owner else "name")
    table = table_of(*(columns if with_owner or width >= _WIDE else columns[:-1]))
    for batch in batches:
        counts = batch.counts
        failed = (f" {counts.failed} failed", "red") if counts.failed else ""
        items = f"{counts.ended}/{counts.known}" if counts.total is not None else f"{counts.known} so far"
        cells = (
            batch.batch_id, batch.workload, state_text(batch), Text.assemble(items, failed),
            age(now - batch.accepted_at), Text(batch.owner if with_owner else batch.name or ""),
        )  # fmt: skip
        table.add_row(*cells[: len(table.columns)])
    return table


def batch_block(batch: Batch, deliveries: Deliveries | None) -> Table:
    """Return everything about one batch, with a line for each fact; `deliveries` is None if they are not known."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("batch", batch.batch_id)
    if batch.name:
        table.add_row("name", Text(batch.name))
    table.add_row("workload", batch.workload)
    table.add_row("priority", batch.priority)
    table.add_row("state", state_text(batch))
    for title, words in _outlook(batch):
        table.add_row(title, Text(words))
    table.add_row("round", str(batch.round))
    table.add_row("items", counts_text(batch.counts))
    if batch.items_per_s:
        table.add_row("rate", f"{batch.items_per_s:,.1f}/s")
    for name, words in term_rows(batch.terms):
        table.add_row(name, Text(words))
    table.add_row("accepted", _when(batch.accepted_at))
    if batch.finished_at:
        took = (batch.finished_at - batch.accepted_at).total_seconds()
        table.add_row("finished", f"{_when(batch.finished_at)}, after {took:,.1f} s")
    for name, words in summary_rows(batch.summary, batch.summary_error):
        table.add_row(Text(name), Text(words))
    for key, value in sorted(batch.labels.items()):
        table.add_row(Text(f"label {key}"), Text(value))
    if batch.metadata:
        table.add_row("metadata", Text(msgspec.json.encode(batch.metadata).decode()))
    for name, words in delivery_rows(deliveries):
        table.add_row(Text(name), Text(words))
    return table


def _outlook(batch: Batch) -> Iterator[tuple[str, str]]:
    """Yield when the batch will end, why it waits, and why it was stopped, as far as they apply."""
    if batch.forecast and batch.status == "running":
        yield "ends", forecast_with_reason(batch.forecast, datetime.now(UTC))
    if batch.waiting:
        yield "waits", waiting_text(batch.waiting.detail, batch.waiting.until)
    if batch.stop_reason:
        yield "stopped", STOPPED.get(batch.stop_reason, batch.stop_reason)


def summary_rows(summary: Any, error: str | None) -> list[tuple[str, str]]:
    """Return the workload's summary of all results as lines; empty without a summary."""
    if error:
        return [("no summary", error)]
    return [(name or "summary", words) for name, words in summary_lines(summary)] if summary is not None else []


def counts_text(counts: Counts) -> str:
    """Return the numbers of items by state as text, without those that are zero."""
    found = [f"{getattr(counts, status)} {status}" for status in _STATUSES if getattr(counts, status)]
    if counts.cached:
        found.append(f"{counts.cached} of them with a known result")
    if counts.remaining:
        found.append(f"{counts.remaining} remaining")
    total = "so far" if counts.total is None else f"of {counts.total}"
    return f"{', '.join(found) or 'none'} {total}"


def state_text(batch: Batch) -> Text:
    """Return the state of a batch, or the result of a finished one, and why it waits, if it does."""
    word = batch.result or batch.status
    text = Text(word, _STYLES.get(word, ""))
    if batch.waiting and batch.waiting.code != word:
        text.append(f" ({batch.waiting.code.replace('_', ' ')})", "yellow")
    return text


def failures_table(
    batch_id: str, groups: Iterable[FailureGroup], *, with_commands: bool = True
) -> list[RenderableType]:
    """Return the failures by cause, with the commands that retry the first few."""
    rows = list(groups)
    if not rows:
        return [Text("Nothing failed.")]
    table = table_of("code", "partition", "items", "for example", "message")
    for group in rows:
        ordinals = ", ".join(map(str, group.ordinals[:3])) + (" …" if group.count > 3 else "")
        table.add_row(
            Text(group.code, "red"), Text(group.partition or ""), str(group.count), f"item {ordinals}",
            Text(group.message),
        )  # fmt: skip
    causes = [group for group in rows if group.cause][:_COMMANDS] if with_commands else []
    if not causes:
        return [table]
    lines = [Text(""), Text("Run them again, as they are or with --patch; --dry-run only shows which would run:")]
    for group in causes:
        lines.append(Text(f"  batchyard retry {batch_id} --cause {group.cause}", no_wrap=True))
        hint = "may succeed as they are" if group.retryable else "will most likely fail again as they are"
        lines.append(Text(f"    {group.count} x {group.code}: {hint}", "bright_black"))
    return [table, *lines]


def workers_table(workers: Iterable[Worker]) -> RenderableType:
    """Return a table of the live workers."""
    rows = list(workers)
    if not rows:
        return Text("No worker has been heard of in the last half minute. Start one: `python -m services.worker`.")
    table = table_of("worker", "workloads", "slots (busy/open/max)", "running", "chunks", "seen")
    for worker in rows:
        state = " (stopping)" if worker.stopping else ""
        table.add_row(
            Text(worker.worker_id + state), "\n".join(worker.workloads), _slots(worker), str(worker.running),
            str(len(worker.chunks)), _when(worker.seen_at),
        )  # fmt: skip
    return table


def _slots(worker: Worker) -> str:
    counts = [worker.slots.get(name) for name in worker.workloads]
    return "\n".join(f"{count.busy}/{count.open}/{count.max}" if count else "" for count in counts)


def workloads_table(manifests: Iterable[dict[str, Any]]) -> RenderableType:
    """Return a table of the announced workloads."""
    rows = list(manifests)
    if not rows:
        return Text("No worker has announced a workload yet. Start one: `python -m services.worker`.")
    table = table_of("workload", "version", "workers", "what it does", "exports")
    for manifest in rows:
        what = manifest.get("title") or manifest.get("description") or ""
        workers = manifest.get("workers")
        live = Text("?" if workers is None else str(workers), "red" if workers == 0 else "")
        exports = ", ".join(manifest.get("exports") or {})
        table.add_row(manifest["name"], manifest["version"], live, Text(what), exports)
    return table


def workload_block(manifest: dict[str, Any]) -> list[RenderableType]:
    """Return one workload: the fields of its item, its rates, and an example to submit."""
    fields = table_of("field", "type", "", "meaning")
    schema = manifest["item_schema"]
    for name, part in schema.get("properties", {}).items():
        need = "required" if name in schema.get("required", []) else ""
        fields.add_row(Text(name), _type_of(part), need, Text(_meaning_of(name, part)))
    head = Text.assemble((manifest["name"], "bold"), f" {manifest['version']}  {manifest.get('title') or ''}")
    questions = table_of("question", "meaning")
    for name, question in manifest.get("questions", {}).items():
        questions.add_row(Text(name), Text(question.get("description") or ""))
    more: list[RenderableType] = [Text(""), questions] if questions.rows else []
    return [head, Text(manifest.get("description") or ""), Text(""), fields, *more]


def _meaning_of(name: str, part: dict[str, Any]) -> str:
    """Return the description of a field, else a title that is more than its name, else the values that it takes."""
    if part.get("description"):
        return str(part["description"])
    title = str(part.get("title") or "")
    if title and title.lower().replace(" ", "_") != name:
        return title
    return f"one of {', '.join(map(str, part['enum']))}" if part.get("enum") else ""


def _type_of(part: dict[str, Any]) -> str:
    if "type" in part:
        return " or ".join(part["type"]) if isinstance(part["type"], list) else str(part["type"])
    return " or ".join(str(branch.get("type", "object")) for branch in part.get("anyOf", [])) or "any"


def table_of(*columns: str) -> Table:
    """Return an empty table with these columns. Running text is wrapped, all else keeps its width."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bright_black")
    for column in columns:
        long = column in {"name", "message", "meaning", "what it does", "exports", "reason", "chunk size"}
        table.add_column(column, no_wrap=not long, overflow="fold")
    return table


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

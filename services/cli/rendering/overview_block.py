"""The overview as lines and tables."""

from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from services.cli.client.overview_documents import AttentionEntry, BatchNumbers, Overview, SystemPart
from services.cli.rendering.rate_text import rate_text
from services.cli.rendering.tables import batches_table

_NEXT = {
    "batch_stopped": "batchyard failures {batch_id}",
    "batch_failed": "batchyard failures {batch_id}",
    "circuit_open": "batchyard rates {workload}",
    "dead_letters": "batchyard dead-letters list",
    "no_worker": "batchyard workers",
    "schedule_missed": "batchyard schedules runs {schedule}",
}
"""Command that shows more about each kind of entry."""


def overview_lines(found: Overview, now: datetime, width: int) -> list[RenderableType]:
    """Return the overview, for a terminal of this width."""
    lines: list[RenderableType] = [Text(_numbers(found.batches))]
    running = "" if found.items.running is None else f", {found.items.running} at workers"
    lines.append(Text(f"items     {found.items.remaining} remaining{running}, {_rate(found.items_per_s)}"))
    lines += [Text(""), *_attention(found.attention), Text("")]
    lines.append(Text.assemble("system    ", *_joined(found.system)))
    if found.ends:
        lines += [Text(""), Text("ended last", "bright_black"), batches_table(found.ends, now, width)]
    return lines


def _numbers(batches: BatchNumbers) -> str:
    unfinished = [(batches.running, "running"), (batches.open, "open"), (batches.paused, "paused")]
    ended = [
        (batches.completed, "completed"), (batches.partial, "partial"), (batches.failed, "failed"),
        (batches.cancelled, "cancelled"),
    ]  # fmt: skip
    words = ", ".join(f"{number} {name}" for number, name in unfinished if number is not None)
    last = ", ".join(f"{number} {name}" for number, name in ended if number)
    if batches.completed is None:
        return f"batches   {words}"
    return f"batches   {words}; in the last 24 hours {last or 'none ended'}"


def _rate(per_s: float) -> str:
    return f"{rate_text(per_s)} end" if per_s else "none end now"


def _attention(entries: list[AttentionEntry]) -> list[Text]:
    if not entries:
        return [Text("Nothing needs you.", "green")]
    lines = [Text("needs you", "bright_black")]
    for entry in entries:
        command = _NEXT.get(entry.kind, "").format(
            batch_id=entry.batch_id, workload=entry.workload, schedule=entry.schedule
        )
        lines.append(Text(entry.detail, "yellow"))
        if command:
            lines.append(Text(f"  {command}", "bright_black", no_wrap=True))
    return lines


def _joined(parts: list[SystemPart]) -> list[Text | str]:
    words: list[Text | str] = []
    for part in parts:
        number = f" {part.instances}" if part.kind == "service" and part.instances and part.instances > 1 else ""
        behind = f" ({part.messages} messages wait)" if part.messages else ""
        state = Text("up" if part.state == "up" else part.state, "green" if part.state == "up" else "red")
        words += [", " if words else "", f"{part.name}{number} ", state, behind]
    return words

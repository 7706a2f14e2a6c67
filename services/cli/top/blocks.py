"""Parts of the live pages, made of the texts and tables that the other commands print."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.client.documents import Batch, Deliveries
from services.cli.client.follow import snapshot_of
from services.cli.client.series_documents import Series
from services.cli.rendering.overview_block import overview_lines
from services.cli.rendering.progress_bar import progress_line
from services.cli.rendering.rate_text import rate_text
from services.cli.rendering.reason_table import reason_lines
from services.cli.rendering.series_table import duration_text, sparkline
from services.cli.rendering.spans import age
from services.cli.rendering.tables import batch_block, failures_table
from services.cli.top.reader import BatchData, OverviewData

_BESIDE_CHART = 30
"""Columns of the terminal beside a chart: its name, its largest value, and the edges of the page."""
BATCH_COLUMNS = ("batch", "workload", "progress", "accepted")


def overview_block(found: OverviewData, now: datetime, width: int) -> RenderableType:
    """Return the numbers, what needs somebody, the state of the system, the last ends, and the charts."""
    return Group(*overview_lines(found.overview, now, width), Text(""), *series_lines(found.series, width))


def batch_cells(batch: Batch, now: datetime, width: int) -> tuple[Text, ...]:
    """Return the cells of a batch in the list of those that have not ended."""
    name = batch.name or batch.batch_id
    room = max(20, width - 60)
    line = progress_line("", snapshot_of(batch, {}), room)
    return Text(name[:40]), Text(batch.workload), line, Text(age(now - batch.accepted_at))


def batch_page(found: BatchData, width: int) -> RenderableType:
    """Return everything about one batch."""
    batch = found.batch
    lines: list[RenderableType] = [progress_line(batch.name or batch.batch_id, snapshot_of(batch, {}), width), Text("")]
    lines += series_lines(found.series, width)
    if found.reasons is not None:
        lines += [Text(""), Text("why not faster", "bright_black"), *reason_lines(found.reasons)]
    if found.failures.groups:
        lines += [Text(""), Text("failures", "bright_black")]
        has_ended = batch.status == "finished"
        lines += failures_table(batch.batch_id, found.failures.groups, with_commands=has_ended)
    return Group(*lines, Text(""), batch_block(batch, Deliveries()))


def series_lines(found: Series, width: int) -> list[RenderableType]:
    """Return the charts of throughput and durations, each as one line with the newest points that fit."""
    if not found.points:
        return []
    points = found.points[-max(8, width - _BESIDE_CHART) :]
    ended = [point.succeeded + point.failed + point.other for point in points]
    failed = [point.failed for point in points]
    times = [point.p95_ms for point in points if point.p95_ms is not None]
    lines = [Text.assemble(("items/s   ", "bright_black"), (sparkline(ended), "green"), f"  {_most(max(ended))}")]
    if any(failed):
        lines.append(
            Text.assemble(("failed/s  ", "bright_black"), (sparkline(failed), "red"), f"  {_most(max(failed))}")
        )
    if times:
        bars = sparkline([point.p95_ms or 0.0 for point in points])
        most = duration_text(max(times))
        lines.append(Text.assemble(("95 % took ", "bright_black"), (bars, "cyan"), f"  at most {most}"))
    return list(lines)


def _most(per_s: float) -> str:
    return f"at most {rate_text(per_s) if per_s else '0'}"

"""Draws the batches that make no progress, each with its reasons."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from services.cli.client.stuck_documents import StuckBatch
from services.cli.rendering.spans import age
from services.cli.rendering.waiting import waiting_text


def stuck_lines(found: Sequence[StuckBatch], now: datetime) -> list[RenderableType]:
    """Return a paragraph for each batch."""
    lines: list[RenderableType] = []
    for one in found:
        batch = one.batch
        name = f" {batch.name!r}" if batch.name else ""
        what = f"{batch.batch_id}  {batch.owner}  {batch.workload}{name}"
        lines.append(Text(f"{what}  {batch.status}, last changed {age(now - one.since)}", "bold"))
        lines += [Text(f"  {waiting_text(reason.detail, reason.until)}", "yellow") for reason in one.reasons]
    return lines

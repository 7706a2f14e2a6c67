"""Throughput and durations as a table with bars."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from services.cli.client.series_documents import DestinationSeries, Series, SeriesPoint
from services.cli.client.timeline_documents import TimelineEntry
from services.cli.rendering.number_text import number_text
from services.cli.rendering.rate_text import rate_text

_WIDTH = 24
_DAY_S = 20 * 3600
_OBVIOUS = ("accepted", "started", "ended")
"""Entries of a timeline that the ends of a chart tell."""


def series_table(
    found: Series, destination: DestinationSeries | None = None, entries: Sequence[TimelineEntry] = ()
) -> Table:
    """Return a row for each step of time, with the durations at a destination if one is named, and what happened. The
    bar shows all items; the part of those that failed is marked with `x`."""
    largest = max((_all(point) for point in found.points), default=0.0)
    span_s = found.step_s * len(found.points)
    pattern = "%Y-%m-%d %H:%M" if span_s > _DAY_S else "%H:%M:%S"
    table = Table(box=None, pad_edge=False, header_style="bright_black")
    table.add_column("time", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("succeeded", "failed", "other", "half within", "95 % within"):
        table.add_column(name, justify="right", no_wrap=True)
    events = _events(found, entries)
    if any(events):
        table.add_column("event", overflow="fold")
    for place, point in enumerate(found.points):
        times = (point.p50_ms, point.p95_ms)
        if destination is not None:
            times = (destination.p50_ms[place], destination.p95_ms[place])
        rates = (point.succeeded, point.failed, point.other)
        table.add_row(
            f"{point.at.astimezone():{pattern}}",
            bar(point.succeeded + point.other, point.failed, largest),
            *(rate_text(rate) if rate else "0" for rate in rates),
            *(duration_text(each) for each in times),
            *([Text(events[place], "yellow")] if any(events) else []),
        )
    return table


def _events(found: Series, entries: Sequence[TimelineEntry]) -> list[str]:
    """Return what happened in each step, the first one first; `entries` are those of the server, the newest first."""
    words: list[list[str]] = [[] for _ in found.points]
    for entry in reversed(entries):
        place = int((entry.at - found.points[0].at).total_seconds() // found.step_s)
        if 0 <= place < len(words) and entry.kind not in _OBVIOUS:
            text = " ".join(filter(None, (entry.kind.replace("_", " "), entry.partition)))
            words[place] += [] if text in words[place] else [text]
    return [", ".join(each) for each in words]


def bar(good: float, bad: float, largest: float) -> Text:
    """Return a bar of items a second: a part that is good, and one that is not."""
    whole = round((good + bad) / largest * _WIDTH) if largest else 0
    marked = min(whole, max(1, round(bad / largest * _WIDTH))) if bad else 0
    return Text.assemble(("█" * (whole - marked), "green"), ("x" * marked, "red"))


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of small bars."""
    largest = max(values, default=0.0)
    return "".join(" ▁▂▃▄▅▆▇█"[round(value / largest * 8) if largest else 0] for value in values)


def duration_text(milliseconds: float | None) -> str:
    """Return a duration in words."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1000:
        return f"{number_text(milliseconds)} ms"
    seconds = milliseconds / 1000
    return f"{number_text(seconds)} s" if seconds < 100 else f"{number_text(seconds / 60)} min"


def _all(point: SeriesPoint) -> float:
    return point.succeeded + point.failed + point.other

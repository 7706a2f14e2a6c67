"""The live line of a batch: a bar in the colours of its outcomes, counts, rate and time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

from services.cli.client.documents import Counts
from services.cli.client.follow import Snapshot
from services.cli.rendering.forecast_text import forecast_text
from services.cli.rendering.spans import clock
from services.cli.rendering.waiting import waiting_text

_BAR_WIDTH = 32
_BAR_STEP = 8
"""The bar changes its width in such steps, so that it does not jump with every figure."""
_SHORT_TITLE = 13
_PARTS = (
    ("succeeded", "succeeded", "green"),
    ("failed", "failed", "red"),
    ("duplicate", "duplicate", "blue"),
    ("cancelled", "cancelled", "magenta"),
    ("expired", "expired", "yellow"),
)
_STEPS = 10
"""Number of progress lines of a batch when the output is no terminal."""
_GROWTH = 1.5
"""Growth of an open batch after which another of these lines is printed."""


class Progress:
    """Draws snapshots, each over the one before; without a terminal it prints a line every tenth of the way."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._step = -1
        self._grown_to = 0.0
        self._waiting = ""
        """Code of the reason to wait that was printed last."""
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Keep the line on the screen for as long as the context lasts; its last state stays."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, refresh_per_second=20) as live:
            self._live = live
            yield self

    def draw(self, now: Snapshot) -> None:
        """Show a snapshot."""
        if self._live is not None:
            self._live.update(progress_line(self._title, now, self._console.width), refresh=True)
            return
        if self._has_news(now):
            self._console.print(progress_line(self._title, now))

    def _has_news(self, now: Snapshot) -> bool:
        if now.waiting is not None and now.waiting.code != self._waiting:
            self._waiting = now.waiting.code
            return True
        if _is_growing(now):
            if now.counts.known < self._grown_to:
                return False
            self._grown_to = max(1, now.counts.known) * _GROWTH
            return True
        step = int(_share(now) * _STEPS)
        if step <= self._step and now.result is None:
            return False
        self._step = step
        return True


def progress_line(title: str, now: Snapshot, width: int | None = None) -> Text:
    """Return the line as text, for a terminal that is `width` columns wide, or without a bar for a log.

    Where the terminal is narrow, the bar and the title give way to the figures.
    """
    figures = _figures(now)
    line = Text(no_wrap=True, overflow="ellipsis")
    if width is None:
        return line.append(f"{title} ").append(figures)
    room = width - len(figures) - 1
    if len(title) > _SHORT_TITLE and room < len(title) + _BAR_STEP:
        title = "…" + title[1 - _SHORT_TITLE :]  # the end tells batch ids apart
    line.append(f"{title} ")
    bar = min(_BAR_WIDTH, (room - len(title) - 1) // _BAR_STEP * _BAR_STEP)
    if bar > 0 and not _is_growing(now):
        line.append(_bar(now.counts, bar)).append(" ")
    return line.append(figures)


def _figures(now: Snapshot) -> Text:
    """Return the share, the counts, and what the batch does now."""
    counts = now.counts
    line = Text()
    if _is_growing(now):  # a share of what has come so far would mislead
        line.append(f"growing, {counts.known:,} so far", "bold")
    else:
        line.append(f"{_percent(now):3d}% ", "bold").append(f"{counts.ended}/{counts.known}")
    if units := counts.units:
        of = "" if units.total is None else f"/{units.total:,}"
        line.append(f"  {units.done:,}{of} {units.name}")
    for field, noun, style in _PARTS:
        if number := getattr(counts, field):
            line.append("  ").append(f"{number} {noun}", style)
    for words, style in _ending(now):
        line.append("  ").append(words, style)
    return line


def _ending(now: Snapshot) -> list[tuple[str, str]]:
    """Return the end of the line: how the batch ended or what it does now, and how fast."""
    if now.result is not None:
        return [(now.result, "bold")]
    if now.status == "paused":
        return [("paused", "bold yellow")]
    if now.counts.total and not now.counts.remaining:
        return [("summing up", "cyan")]
    if now.waiting is not None:
        return [(f"waits: {waiting_text(now.waiting.detail, now.waiting.until)}", "yellow")]
    found = [(f"{now.items_per_s:,.1f}/s", "cyan")] if now.items_per_s else []
    forecast = now.forecast
    if forecast is not None and forecast.p50 is not None and not _is_growing(now):
        found.append((f"ends {forecast_text(forecast, datetime.now(UTC))}", "cyan"))
    elif now.eta_s is not None and not _is_growing(now):
        found.append((f"{clock(now.eta_s)} left", "cyan"))
    return found


def _bar(counts: Counts, width: int) -> Text:
    total = max(1, counts.known)
    bar = Text()
    drawn = ended = 0
    for field, _, style in _PARTS:
        ended += getattr(counts, field)
        reach = ended * width // total
        bar.append("━" * (reach - drawn), style)
        drawn = max(drawn, reach)
    return bar.append("━" * (width - drawn), "bright_black")


def _is_growing(now: Snapshot) -> bool:
    return now.result is None and now.counts.total is None


def _percent(now: Snapshot) -> int:
    """Return the completed part, rounded down, and below 100 before the end."""
    return 100 if now.result is not None else min(99, int(_share(now) * 100 + 1e-9))


def _share(now: Snapshot) -> float:
    if now.share is not None:
        return now.share
    total = now.counts.known
    return now.counts.ended / total if total else 0.0

"""The live line of a batch: a bar in the colours of its outcomes, counts, rate and time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from batchyard_contracts.v1.values import Counts
from services.cli.client.follow import Snapshot

_WIDTH = 32
_PARTS = (
    ("succeeded", "succeeded", "green"),
    ("failed", "failed", "red"),
    ("duplicate", "duplicate", "blue"),
    ("cancelled", "cancelled", "magenta"),
    ("expired", "expired", "yellow"),
)
_STEPS = 10
"""Number of progress lines of a batch when the output is no terminal."""


class Progress:
    """Draws snapshots, each over the one before; without a terminal it prints a line every tenth of the way."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._step = -1
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
            self._live.update(progress_line(self._title, now), refresh=True)
            return
        step = int(_share(now) * _STEPS)
        if step > self._step or now.result is not None:
            self._step = step
            self._console.print(progress_line(self._title, now, bar=False))


def progress_line(title: str, now: Snapshot, *, bar: bool = True) -> Text:
    """The line as text: what is drawn live and what is printed into a log."""
    counts = now.counts
    line = Text(f"{title} ", no_wrap=True, overflow="ellipsis")
    if bar:
        line.append(_bar(counts)).append(" ")
    line.append(f"{_share(now):4.0%} ", "bold").append(f"{counts.ended}/{_total(counts)}")
    if units := counts.units:
        of = "" if units.total is None else f"/{units.total:,}"
        line.append(f"  {units.done:,}{of} {units.name}")
    for field, noun, style in _PARTS:
        if number := getattr(counts, field):
            line.append("  ").append(f"{number} {noun}", style)
    if now.result is not None:
        return line.append("  ").append(now.result, "bold")
    if now.status == "paused":
        return line.append("  ").append("paused", "bold yellow")
    if counts.total and not counts.remaining:
        return line.append("  summing up", "cyan")
    if now.items_per_s:
        line.append(f"  {now.items_per_s:,.1f}/s", "cyan")
    if now.eta_s is not None:
        line.append(f"  {_clock(now.eta_s)} left", "cyan")
    return line


def _bar(counts: Counts) -> Text:
    total = max(1, _total(counts))
    bar = Text()
    drawn = ended = 0
    for field, _, style in _PARTS:
        ended += getattr(counts, field)
        reach = ended * _WIDTH // total
        bar.append("━" * (reach - drawn), style)
        drawn = max(drawn, reach)
    return bar.append("━" * (_WIDTH - drawn), "bright_black")


def _total(counts: Counts) -> int:
    return counts.total if counts.total is not None else counts.ended + counts.remaining


def _share(now: Snapshot) -> float:
    if now.share is not None:
        return now.share
    total = _total(now.counts)
    return now.counts.ended / total if total else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

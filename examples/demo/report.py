"""Prints what came of the demo: failures by cause, the quality of the tracklists, the files, the checks."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.text import Text

from batchyard_contracts.v1.queries import FailureGroup
from batchyard_contracts.v1.values import ItemResult
from examples.demo.checks import Check
from examples.demo.files import Written
from examples.demo.others import Sampled

_BAR = 40
_BANDS = ((90, 101), (75, 90), (50, 75), (0, 50))


def print_failures(console: Console, groups: Iterable[FailureGroup]) -> None:
    """One line for each cause."""
    for group in groups:
        _print(console, Text.assemble((f"{group.code:<19}", "red"), f"{group.count:>3}  ", (group.message, "dim")))


def print_quality(console: Console, results: Iterable[ItemResult]) -> None:
    """The mean score, and how many tracklists are in each band."""
    scores = [item.result["quality_score"] for item in results if item.status == "succeeded"]
    summary = f"mean {mean(scores):.1f} of 100 over {len(scores)} tracklists, from {min(scores)} to {max(scores)}"
    _print(console, Text(summary))
    for low, high in _BANDS:
        number = sum(low <= score < high for score in scores)
        bar = "█" * round(number / len(scores) * _BAR)
        band = f"{low} to {min(high, 100)}"
        _print(console, Text.assemble(f"{band:<19}{number:>3}  ", (bar, "green")))


def print_files(console: Console, files: Sequence[Written]) -> None:
    """Folder of the results."""
    for written in files:
        path = written.path.relative_to(Path.cwd()) if written.path.is_relative_to(Path.cwd()) else written.path
        console.print(f"   {written.content:<25}{path}", soft_wrap=True, markup=False)


def print_others(console: Console, ended: Iterable[Sampled]) -> None:
    """One line for each workload."""
    for one in ended:
        console.print(Text.assemble(f"   {one.workload:<19}", (one.outcome, "dim")), soft_wrap=True)


def print_checks(console: Console, checks: Iterable[Check]) -> None:
    """An expected effect, and whether it was seen."""
    for check in checks:
        mark, style = ("✓", "green") if check.passed else ("✗", "bold red")
        line = Text.assemble(
            "   ", (mark, style), f" {check.what:<23}", (check.found, "dim" if check.passed else "red")
        )
        console.print(line, soft_wrap=True)


def _print(console: Console, line: Text) -> None:
    console.print(Text("   ") + line, no_wrap=True, overflow="ellipsis")

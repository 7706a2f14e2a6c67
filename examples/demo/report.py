"""Prints what came of the demo: outcomes, failures by cause, the quality of the tracklists, the checks."""

from collections.abc import Iterable, Sequence
from statistics import mean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchyard_contracts.v1.queries import FailureGroup
from batchyard_contracts.v1.values import ItemResult
from examples.demo.checks import Check
from examples.demo.files import Written

_BAR = 24
_BANDS = ((90, 101), (75, 90), (50, 75), (0, 50))


def print_failures(console: Console, groups: Iterable[FailureGroup]) -> None:
    """One line for each cause."""
    table = _grid()
    for group in groups:
        table.add_row(Text(group.code, "red"), str(group.count), Text(group.message, "bright_black"))
    console.print(table)


def print_quality(console: Console, results: Iterable[ItemResult]) -> None:
    """The mean score, and how many tracklists are in each band."""
    scores = [item.result["quality_score"] for item in results if item.status == "succeeded"]
    console.print(
        f"   mean {mean(scores):.1f} of 100 over {len(scores)} tracklists, from {min(scores)} to {max(scores)}"
    )
    table = _grid()
    for low, high in _BANDS:
        number = sum(low <= score < high for score in scores)
        bar = "█" * round(number / len(scores) * _BAR)
        table.add_row(f"{low} to {min(high, 100)}", str(number), Text(bar, "green"))
    console.print(table)


def print_files(console: Console, files: Sequence[Written]) -> None:
    """Where the results are."""
    table = _grid()
    for written in files:
        table.add_row(str(written.path), Text(written.content, "bright_black"))
    console.print(table)


def print_checks(console: Console, checks: Iterable[Check]) -> None:
    """What had to happen, and whether it did."""
    table = _grid()
    for check in checks:
        mark = Text("✓", "green") if check.passed else Text("✗", "bold red")
        table.add_row(mark, check.what, Text(check.found, "bright_black" if check.passed else "red"))
    console.print(table)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.pad_edge = True
    return table

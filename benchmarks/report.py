"""Shows figures as a table, and keeps them as JSON under `benchmarks/results/`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure

RESULTS = Path(__file__).parent / "results"


def keep(name: str, document: Any, folder: Path = RESULTS) -> Path:
    """Write a document in place of the previous one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(file)
    return file


def kept(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return the document that was written last; None when there is none."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def figures_document(machine: dict[str, Any], figures: Sequence[Figure]) -> dict[str, Any]:
    """Return figures by name, with the machine on which they were measured."""
    return {"machine": machine, "figures": {figure.name: figure.document() for figure in figures}}


def show_figures(console: Console, figures: Sequence[Figure], title: str) -> None:
    """Print the table."""
    table = Table("what", "median", "min - max", "p99", "samples", "target", "met", title=title)
    for figure in figures:
        s = figure.summary
        target = "" if figure.target is None else figure.target.text(figure.unit)
        met = {None: "", True: "[green]yes", False: "[red]no"}[figure.met]
        p99 = number(s.p99) if s.samples >= 100 else ""
        ends = f"{number(s.low)} - {number(s.high)}"
        table.add_row(figure.title, f"{number(s.median)} {figure.unit}", ends, p99, str(s.samples), target, met)
    console.print(table)


def number(value: float) -> str:
    """Return a number with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"

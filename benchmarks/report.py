"""Shows figures as a table, and keeps them as JSON under `benchmarks/results/`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure

RESULTS = Path(__file__).parent / "results"
UNFINISHED = RESULTS / "unfinished"
"""Documents of measurements that have not ended; not committed, like `loaded`."""
LOADED_SHARE = 0.1
"""Share of the processors above which other programs spoil a measurement."""


def keep(name: str, document: Any, folder: Path = RESULTS) -> Path:
    """Write a document in place of the previous one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(file)
    return file


def conclude(console: Console, name: str, document: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a document whose measurement has ended. On a loaded machine it says so, and a quiet one before it stays."""
    share = max(others_shares(document), default=0.0)
    if share > LOADED_SHARE:
        console.print(
            f"[bold red]The machine was loaded: other programs took up to {share:.0%} of its processors. Trust only "
            "ratios of 1.5 or more.[/]"
        )
        earlier = kept(name, folder)
        if earlier is not None and max(others_shares(earlier), default=0.0) <= LOADED_SHARE:
            console.print(f"[bold red]The earlier {name}.json, of a quiet machine, stays.[/]")
            folder /= "loaded"
    file = keep(name, document, folder)
    console.print(f"Kept in {file}", markup=False)
    return file


def others_shares(document: Any) -> list[float]:
    """Return every share of the processors that others took, wherever it stands in a document."""
    if not isinstance(document, dict):
        return []
    own = document.get("others_share")
    shares = [own["max"]] if isinstance(own, dict) else []
    usual = document.get("share_of_processors_used_by_others")
    shares += [usual] if isinstance(usual, float) else []
    return shares + [share for each in document.values() for share in others_shares(each)]


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

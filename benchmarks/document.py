"""Writes the tables into the pages of docs/, between their marks, so that these always agree with the measurements."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import tables
from benchmarks.findings import Findings
from benchmarks.tables import Text

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "performance.md", DOCS / "rates.md", DOCS / "distances.md")
_MARKED = re.compile(r"(?P<open><!-- measured: (?P<name>[a-z]+) -->\n).*?(?P<close><!-- /measured -->)", re.DOTALL)
_NOTHING = "Nothing has been measured yet."


def write(findings: Findings, pages: Iterable[Path] = PAGES) -> None:
    """Bring pages up to date."""
    for page in pages:
        page.write_text(rendered(page.read_text("utf-8"), findings), "utf-8")


def rendered(page: str, findings: Findings) -> str:
    """The page with fresh tables. Raises `KeyError` for a mark that no table has."""
    return _MARKED.sub(lambda found: f"{found['open']}{_BLOCKS[found['name']](findings)}\n{found['close']}", page)


def markdown(table: Text) -> str:
    """A table as Markdown writes it."""
    if not table.rows:
        return _NOTHING
    lines = [table.headers, ("---",) * len(table.headers), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _with_machine(name: str, table: Callable[[Findings], Text]) -> Callable[[Findings], str]:
    def block(findings: Findings) -> str:
        text = markdown(table(findings))
        return text if text == _NOTHING else f"{tables.measured(findings, name)}\n\n{text}"

    return block


def _comparison(findings: Findings) -> str:
    return "\n\n".join((_with_machine("comparison", tables.comparison)(findings), *tables.left_out(findings)))


_BLOCKS: dict[str, Callable[[Findings], str]] = {
    "numbers": _with_machine("numbers", tables.latencies),
    "comparison": _comparison,
    "small": lambda findings: markdown(tables.small(findings)),
    "dates": lambda findings: tables.dates(findings) or _NOTHING,
    "costs": lambda findings: markdown(tables.costs(findings)),
    "scale": _with_machine("scale", tables.scale),
    "later": lambda findings: markdown(tables.later(findings)),
    "rates": _with_machine("rates", tables.rates),
    "unbound": lambda findings: markdown(tables.unbound(findings)),
    "distances": _with_machine("distances", tables.distances),
    "millionpairs": lambda findings: markdown(tables.million_pairs(findings)),
    "recommendations": lambda findings: markdown(tables.recommendations(findings)),
    "targets": lambda findings: markdown(tables.targets(findings)),
}

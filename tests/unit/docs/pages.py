"""The pages that people read, and their parts."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "contracts/README.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
    ]
)
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CELL = re.compile(r" \| ")


def name_of(page: Path) -> str:
    """The page's path in the repository, as the id of a test."""
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _CODE.sub("", page.read_text("utf-8"))


def headings(page: Path) -> list[str]:
    """The page's headings, the title first, without their marks."""
    return [line.lstrip("#").strip() for line in prose(page).splitlines() if line.startswith("#")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in a text, without headers and rules."""
    lines = text.splitlines()
    tables = [(line, following) for line, following in zip(lines, [*lines[1:], ""], strict=True) if line[:2] == "| "]
    return [_CELL.split(line.strip("| ")) for line, following in tables if "| --- |" not in line + following]

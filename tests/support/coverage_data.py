"""Writes the records of `line_probes` as data of coverage.py, which reports them.

`python -m tests.support.coverage_data`
"""

import json
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from coverage import CoverageData
from coverage.parser import PythonParser

from tests.support.line_probes import FOLDER, SOURCES

Branch = tuple[int, int]
"""Two line numbers: from and to. The end is 0 for the exit of a function; in coverage.py it is negative."""


@dataclass
class Record:
    """Lines and branches of one file that have run in any process, and the lines whose branches have probes."""

    lines: set[int] = field(default_factory=set)
    branches: set[Branch] = field(default_factory=set)
    branching: set[int] = field(default_factory=set)


def main() -> None:
    """Replace `.coverage` by what all processes together have run. A file that none imported is not covered."""
    records: dict[str, Record] = {}
    for file in FOLDER.glob("*.json"):
        for name, found in json.loads(file.read_text("utf-8")).items():
            record = records.setdefault(str(Path(name).absolute()), Record())
            executed = {(start, end) for start, end in found["executed_branches"]}
            record.lines.update(found["executed_lines"])
            record.branches |= executed
            record.branching.update(start for start, _ in (*executed, *found["missing_branches"]))
    data = CoverageData(".coverage")
    data.erase()
    data.add_arcs(
        {
            path: arcs(Path(path).read_text("utf-8"), one.lines, one.branches, one.branching)
            for path, one in records.items()
        }
    )
    data.touch_files([str(file.absolute()) for folder in SOURCES for file in Path(folder).rglob("*.py")])
    data.write()


def arcs(source: str, lines: Set[int], branches: Set[Branch], branching: Set[int]) -> set[Branch]:
    """Return the arcs of coverage.py: one from each line that has run to itself, and one for each branch taken.

    A line of several ways without probes, such as `except` or `case`, took each way that leads to a line that has run.
    """
    parser = PythonParser(text=source or "\n")
    parser.parse_source()
    ran = parser.translate_lines(lines)
    found = {(line, line) for line in lines}
    for start, end in parser.arcs():
        leads_on = end < 0 or end in ran
        taken = (start, max(end, 0)) in branches if start in branching else start in ran and leads_on
        if taken:
            found.add((start, end))
    return found


if __name__ == "__main__":
    main()

"""Pooled connections keep no state of a session: nothing resets it when another task gets the connection."""

import re
from pathlib import Path

from tests.support.source import ROOT, modules

SESSION_STATE = re.compile(
    r"\bpg_(?:try_)?advisory_(?:lock|lock_shared|unlock|unlock_all)\b"
    r"|\bset_config\([^)]*,\s*false\)|\bSET SESSION\b|\bLISTEN \w|\bCREATE TEMP(?:ORARY)? TABLE\b|\bPREPARE \w+ AS\b"
)


def test_no_statement_leaves_a_lock_or_a_setting_behind() -> None:
    sources = [*modules(), *(path.relative_to(ROOT) for path in ROOT.glob("s*/**/*.sql"))]
    found = [
        f"{file}:{number} {line.strip()}"
        for file in map(Path, sources)
        if file.parts[0] in {"services", "shared"}
        for number, line in enumerate((ROOT / file).read_text("utf-8").splitlines(), 1)
        if SESSION_STATE.search(line)
    ]

    assert sum(file.suffix == ".sql" for file in map(Path, sources)) > 10
    assert found == []

"""Locks in PostgreSQL end with their transaction: one that a session holds would stay with a pooled connection."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATEMENTS = [path for part in ("shared", "services") for path in (ROOT / part).glob("**/*.sql")]
SESSION_LOCK = re.compile(r"pg_(?:try_)?advisory_(?:lock|unlock)\w*")


def test_no_statement_takes_a_lock_for_its_session() -> None:
    found = [(path.relative_to(ROOT), SESSION_LOCK.findall(path.read_text())) for path in STATEMENTS]
    assert len(found) > 10
    assert [each for each in found if each[1]] == []

"""Every table of every service has a bound, which the page on retention states: nothing grows for ever."""

import re

from tests.unit.docs.pages import ROOT

_CREATED = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_DROPPED = re.compile(r"^DROP TABLE (\w+)|^ALTER TABLE (\w+) RENAME TO \w+", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_HEADING = "## Bounds of the tables"


def tables() -> set[str]:
    """Return the tables that the migrations leave behind, with their schemas."""
    found: set[str] = set()
    for folder in sorted((ROOT / "services").glob("*/persistence/migrations")):
        own: set[str] = set()
        for file in sorted(folder.glob("*.sql")):
            text = file.read_text("utf-8")
            own -= {name for pair in _DROPPED.findall(text) for name in pair}
            own |= set(_CREATED.findall(text))
        found |= {f"{folder.parts[-3]}.{name}" for name in own}
    return found


def bounds() -> dict[str, str]:
    """Return the bound that the page states, by table."""
    page = (ROOT / "docs" / "retention.md").read_text("utf-8").partition(_HEADING)[2]
    found: dict[str, str] = {}
    for schema, names, bound in _ROW.findall(page):
        for name in re.findall(r"`(\w+)`", names):
            assert f"{schema}.{name}" not in found, f"{schema}.{name} has two bounds"
            found[f"{schema}.{name}"] = bound
    return found


def test_the_tables_of_all_services_are_found() -> None:
    assert {name.partition(".")[0] for name in tables()} == {"ingest", "dispatcher", "aggregator", "notifier"}
    assert {"ingest.outbox", "aggregator.outcomes", "dispatcher.claims", "notifier.deleted"} <= tables()
    assert "ingest.outbox_before" not in tables()


def test_every_table_has_a_bound_and_every_bound_its_table() -> None:
    stated = bounds()
    assert stated.keys() == tables(), "State in docs/retention.md what bounds each table."
    assert [name for name, bound in stated.items() if len(bound) < 5] == []

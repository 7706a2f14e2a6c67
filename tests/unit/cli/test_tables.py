"""The tables that show a batch to a person."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from services.cli.client.documents import Batch, Counts
from services.cli.rendering.tables import batch_block

AT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def shown(**fields: Any) -> str:
    batch = Batch(
        batch_id="019a2b3c-0000-7000-8000-000000000001", workload="squares", priority="normal", status="finished",
        round=1, result="completed", counts=Counts(total=2, succeeded=2), accepted_at=AT, finished_at=AT, **fields,
    )  # fmt: skip
    text = StringIO()
    Console(file=text, width=120).print(batch_block(batch))
    return text.getvalue()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"summary": {"sum": 5, "of": ["a", "[b]"]}}, "sum 5"),
        ({"summary": {"sum": 5, "of": ["a", "[b]"]}}, "of a, [b]"),
        ({"summary": 5}, "summary 5"),
        ({"summary_error": "No worker made it."}, "no summary No worker made it."),
    ],
)
def test_the_summary_is_shown_a_fact_a_line(fields: dict[str, Any], line: str) -> None:
    assert line in [" ".join(each.split()) for each in shown(**fields).splitlines()]


def test_without_a_summary_nothing_is_said_of_it() -> None:
    assert "summary" not in shown()

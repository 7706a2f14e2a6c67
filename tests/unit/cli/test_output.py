"""No id, no command and no word is cut: nowhere at all where the output is no terminal."""

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.table import Table

from services.cli.client.documents import Batch, Counts, FailureGroup
from services.cli.rendering import output
from services.cli.rendering.output import show
from services.cli.rendering.tables import batch_block, batches_table, failures_table

BATCH = "019a2b3c-0000-7000-8000-000000000001"
CAUSE = "1-0123456789abcdef"
MESSAGE = "The destination answered with a page that has none of the fields which the item asks for, and no reason."
GROUP = FailureGroup("unexpected_answer", 12_345, MESSAGE, [1, 2, 3, 4], CAUSE, "a-long-name.of-a-host.example", True)
_IN_TERMINAL = """
from services.cli.rendering import output
from services.cli.rendering.output import show
from tests.unit.cli.test_output import GROUP, BATCH
from services.cli.rendering.tables import failures_table
show(*failures_table(BATCH, [GROUP]))
"""


def test_a_line_stays_a_line_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    show(*failures_table(BATCH, [GROUP]))
    lines = capfd.readouterr().out.splitlines()
    assert f"  batchyard retry {BATCH} --cause {CAUSE}" in lines
    assert any(MESSAGE in line and "a-long-name.of-a-host.example" in line for line in lines)


def test_ids_commands_and_words_are_whole_in_a_narrow_terminal() -> None:
    text = _in_terminal(columns=60)
    assert f"batchyard retry {BATCH} --cause {CAUSE}" in text
    assert "a-long-name.of-a-host.example" in text
    assert [word for word in MESSAGE.split() if word not in text.split()] == []


def test_a_list_has_whole_ids_in_a_narrow_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    batch = Batch(BATCH, "predictions", "normal", "finished", 1, Counts(total=9, failed=9), now, result="cancelled")
    show(batches_table([batch], now, 60))
    assert f"{BATCH} predictions cancelled 9/9 9 failed 0 s ago" in capfd.readouterr().out


def _in_terminal(columns: int) -> str:
    """Run a script with a terminal of so many columns, and return what it shows."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL], stdout=follower, stderr=follower, env=environment, cwd=root
    ) as process:
        os.close(follower)
        parts = []
        while True:
            try:
                part = os.read(leader, 65_536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            parts.append(part)
        process.wait()
    os.close(leader)
    return b"".join(parts).decode()


def test_lines_end_without_blanks_where_the_output_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("a", "short")
    table.add_row("b", "a much longer one")
    show(table)
    assert capfd.readouterr().out == "a  short\nb  a much longer one\n"


def test_the_id_of_a_batch_is_on_one_line_in_a_narrow_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_UNLIMITED", 40)
    batch = Batch(BATCH, "noop", "normal", "running", 1, Counts(total=9), datetime(2026, 11, 20, tzinfo=UTC))
    show(batch_block(batch, None))
    assert f" {BATCH}\n" in capfd.readouterr().out

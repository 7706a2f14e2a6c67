"""Wrong rows of a refused file, as the command prints them."""

from pathlib import Path
from typing import Any

import pytest

from services.cli.client.wrong_rows import wrong_rows_text
from services.cli.errors import WrongRow
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run


def problem(*lines: int, detail: str = "`n` is missing.", **fields: Any) -> dict[str, Any]:
    errors = [{"code": "invalid_item", "detail": detail, "line": line} for line in lines]
    return {
        "title": "Invalid item",
        "status": 422,
        "detail": f"{detail} {len(lines) - 1} more are wrong.",
        "code": "invalid_item",
        "line": lines[0],
        "errors": errors,
        "error_count": len(lines),
        **fields,
    }


@pytest.mark.parametrize(
    ("rows", "count", "text"),
    [
        (
            [(2, "`n` is missing."), (4, "This is no JSON."), (5, "`n` is missing.")],
            3,
            "3 lines are wrong:\n  lines 2 and 5: `n` is missing.\n  line 4: This is no JSON.",
        ),
        (
            [(n, "`n` is missing.") for n in range(2, 102)],
            3000,
            "3,000 lines are wrong:\n  lines 2 to 101: `n` is missing.\n  … and 2,900 more",
        ),
        (
            [(n, "No.") for n in range(1, 30, 2)],
            15,
            "15 lines are wrong:\n  lines 1, 3, 5, 7, 9, 11, 13, 15 and 7 more: No.",
        ),
        ([(None, "`a` is missing."), (None, "`b` is missing.")], 2, "2 errors:\n  `a` is missing.\n  `b` is missing."),
    ],
)
def test_rows_with_the_same_fault_share_a_line(rows: list[tuple[int | None, str]], count: int, text: str) -> None:
    assert wrong_rows_text([WrongRow(*row) for row in rows], count, "line") == text


async def test_all_wrong_rows_of_a_file_are_printed(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("m\n1\n2\n3\n")
    cluster.answer("POST /batches", problem(2, 3, 4), status=422)
    ended = await run("submit", "squares", str(tmp_path / "rows.csv"))
    assert ended.code == Exit.USAGE
    assert ended.err == (
        "batchyard: 3 lines are wrong:\n"
        "  lines 2 to 4: `n` is missing.\n"
        "Correct them, then submit again: nothing was stored, and nothing runs.\n"
    )


async def test_a_batch_that_an_upload_has_begun_is_named(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("m\n1\n2\n")
    cluster.answer("POST /batches", problem(20_001, 24_001, batch_id=BATCH, items=20_000), status=422)
    ended = await run("submit", "squares", str(tmp_path / "rows.csv"), "--idempotency-key", "again")
    assert "lines 20001 and 24001: `n` is missing." in ended.err
    assert f"The batch {BATCH} has the first 20,000 items." in ended.err
    assert "--idempotency-key again" in ended.err


async def test_a_list_of_a_hundred_long_errors_is_read_whole(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("m\n1\n")
    cluster.answer("POST /batches", problem(*range(2, 102), detail="x" * 2000), status=422)
    assert "100 lines are wrong" in (await run("submit", "squares", str(tmp_path / "rows.csv"))).err


async def test_all_wrong_fields_of_a_command_are_printed(run: Run, cluster: FakeCluster) -> None:
    errors = [{"code": "invalid_command", "detail": "`a` is wrong."}, {"code": "invalid_command", "detail": "`b` too."}]
    body = {"title": "x", "status": 422, "detail": "`a` is wrong. 1 more is wrong.", "errors": errors, "error_count": 2}
    cluster.answer(f"PATCH /batches/{BATCH}", body, status=422)
    ended = await run("change", BATCH, "--priority", "low")
    assert ended.err == "batchyard: 2 errors:\n  `a` is wrong.\n  `b` too.\n"

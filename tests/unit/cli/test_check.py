"""`batchyard submit --dry-run` shows what a submission would meet, and submits nothing."""

from pathlib import Path
from typing import Any

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

GOOD: dict[str, Any] = {
    "acceptable": True, "items": 2, "valid": 2, "duplicates": 1, "whole": True, "problems": [], "errors": [],
    "error_count": 0, "unknown_fields": {"methd": 2},
    "destinations": [{"partition": "a.example", "items": 2}],
}  # fmt: skip
BAD: dict[str, Any] = {
    **GOOD, "acceptable": False, "items": 3, "duplicates": 0, "error_count": 1, "whole": False, "unknown_fields": {},
    "errors": [{"code": "invalid_item", "detail": "`n` takes a whole number.", "line": 3}],
    "problems": [{"code": "deadline_passed", "detail": "The deadline has passed."}],
}  # fmt: skip


async def test_the_check_of_a_file_is_shown(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("n\n1\n2\n")
    cluster.answer("POST /batch-check", GOOD)
    ended = await run("submit", "squares", str(tmp_path / "items.csv"), "--dry-run", "--priority", "low")
    assert ended.code == Exit.OK
    assert ended.out.splitlines() == [
        "2 items valid",
        "1 item repeats an earlier one",
        "destinations: a.example 2",
        "unknown field `methd` in 2 items: the workload ignores it",
        "It would be accepted.",
    ]
    assert cluster.requests == [("POST /batch-check", "n\n1\n2\n")]
    assert ("priority", "low") in cluster.queries[0]
    assert "Idempotency-Key" not in cluster.headers[0]


async def test_wrong_items_and_limits_end_it_as_wrong_input(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batch-check", BAD)
    ended = await run("submit", "squares", "--item", '{"n": "two"}', "--dry-run")
    assert ended.code == Exit.USAGE
    assert "2 items valid, 1 invalid; the rest was not checked" in ended.out
    assert "The deadline has passed." in ended.out
    assert "line 3: `n` takes a whole number." in ended.out
    assert ended.out.endswith("It would be refused.\n")


async def test_json_is_what_the_server_sent(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batch-check", BAD)
    ended = await run("submit", "squares", "--item", "{}", "--dry-run", "--json")
    assert (ended.code, '"error_count"' in ended.out) == (Exit.USAGE, True)


async def test_a_dry_run_cannot_be_watched(run: Run, cluster: FakeCluster) -> None:
    ended = await run("submit", "squares", "--item", "{}", "--dry-run", "--watch")
    assert ended.code == Exit.USAGE
    assert cluster.requests == []

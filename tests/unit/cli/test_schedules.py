"""`batchyard templates` and `batchyard schedules`."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

TEMPLATE: dict[str, Any] = {
    "name": "numbers",
    "version": 2,
    "shared": True,
    "workload": "noop",
    "description": "Squares.",
    "created_at": "2026-11-30T06:00:00Z",
    "created_by": "ann",
    "parameters": {},
    "body": {"workload": "noop"},
    "fill": {},
}
SCHEDULE: dict[str, Any] = {
    "name": "weekly",
    "workload": "noop",
    "cron": "0 6 * * MON",
    "zone": "Europe/Berlin",
    "template": "numbers",
    "overlap": "skip",
    "missed": "one",
    "catch_up_s": 3600,
    "jitter_s": 0,
    "paused": False,
    "note": "",
    "next_at": "2026-12-07T05:00:00Z",
    "created_at": "2026-11-30T06:00:00Z",
}


async def test_a_template_is_saved_from_a_file_and_shown_as_one(cluster: FakeCluster, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps({"name": "numbers", "body": {"workload": "noop"}}))
    cluster.answer("POST /templates", TEMPLATE)
    assert (await run("templates", "save", str(file))).out == "numbers: version 2\n"
    assert cluster.requests[-1][1] == {"name": "numbers", "body": {"workload": "noop"}}
    cluster.answer("GET /templates/numbers", TEMPLATE)
    shown = await run("templates", "show", "numbers", "--version", "2")
    assert json.loads(shown.out).keys() == {"name", "description", "parameters", "body", "fill"}
    assert cluster.queries[-1] == [("version", "2")]
    for text in ("[]", "{", ""):
        file.write_text(text)
        assert (await run("templates", "save", str(file))).code == Exit.USAGE


async def test_templates_are_listed_compared_restored_and_deleted(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("GET /templates", {"templates": [TEMPLATE]})
    cluster.answer("GET /templates/numbers/versions", {"versions": [TEMPLATE]})
    for listed in (await run("templates", "list"), await run("templates", "versions", "numbers")):
        assert all(word in listed.out for word in ("numbers", "2", "noop", "ann, shared", "Squares."))
    changes = [{"pointer": "/body/name", "before": "a", "after": "b"}, {"pointer": "/fill/~1x", "after": "y"}]
    cluster.answer("GET /templates/numbers/difference", {"changes": changes})
    differs = await run("templates", "diff", "numbers", "1")
    assert differs.out == '/body/name\n  - "a"\n  + "b"\n/fill/~1x\n  + "y"\n'
    cluster.answer("POST /templates/numbers/restore", {**TEMPLATE, "version": 3})
    assert "version 3" in (await run("templates", "restore", "numbers", "1")).out
    cluster.answer("DELETE /templates/numbers", {})
    assert (await run("templates", "delete", "numbers")).out == "numbers: deleted\n"


async def test_a_template_is_submitted_with_typed_parameters(cluster: FakeCluster, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text('{"team": "a", "rate": 2}')
    cluster.answer("POST /templates/numbers/submit", {"batch_id": BATCH})
    ended = await run(
        "templates", "submit", "numbers", "--parameters", str(file), "-p", "team=search", "-p", "numbers=[1]",
        "--priority", "low", "--not-before", "2h",
    )  # fmt: skip
    assert (ended.code, ended.out) == (Exit.OK, f"{BATCH}\n")
    sent = cluster.requests[-1][1]
    assert sent["parameters"] == {"team": "search", "rate": 2, "numbers": [1]}
    assert (sent["priority"], "not_before" in sent, "version" in sent) == ("low", True, False)
    cluster.answer(f"GET /batches/{BATCH}", {})
    assert BATCH in (Path(tmp_path) / "state" / "batchyard" / "last.json").read_text()
    assert (await run("templates", "submit", "numbers", "-p", "team")).code == Exit.USAGE


async def test_a_schedule_is_saved_with_its_options(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("PUT /schedules/weekly", SCHEDULE)
    ended = await run(
        "schedules", "save", "weekly", "--cron", "0 6 * * MON", "--zone", "Europe/Berlin", "--template", "numbers",
        "-p", "n=7", "--overlap", "queue", "--missed", "all", "--catch-up", "2h", "--jitter", "5min", "--end", "30d",
    )  # fmt: skip
    assert ended.code == Exit.OK
    assert "2026-12-07 05:00 UTC" in ended.out
    sent = cluster.requests[-1][1]
    assert sent.pop("ends_at")
    assert sent == {
        "cron": "0 6 * * MON", "zone": "Europe/Berlin", "template": "numbers", "parameters": {"n": 7},
        "overlap": "queue", "missed": "all", "catch_up_s": 7200, "jitter_s": 300,
    }  # fmt: skip


async def test_times_and_runs_are_shown_with_their_reasons(cluster: FakeCluster, run: Run) -> None:
    times = [{"at": "2026-03-29T01:00:00Z", "local": "2026-03-29T03:00:00+02:00", "mark": "moved"}]
    cluster.answer("GET /schedules/weekly/times", {"times": times})
    shown = await run("schedules", "times", "weekly")
    assert all(words in shown.out for words in ("Sun 2026-03-29 03:00 +0200", "2026-03-29 01:00", "skips"))
    runs = [
        {"nominal_at": "2026-11-30T06:00:00Z", "origin": "schedule", "state": "started", "batch_id": BATCH, "count": 1},
        {
            "nominal_at": "2026-11-23T06:00:00Z", "origin": "schedule", "state": "missed", "count": 3,
            "reason": "Nothing could start in time.",
        },
    ]  # fmt: skip
    cluster.answer("GET /schedules/weekly/runs", {"runs": runs})
    shown = await run("schedules", "runs", "weekly")
    assert all(words in shown.out for words in (BATCH, "started", "3 times: Nothing could start"))
    assert (await run("schedules", "runs", "weekly", "--json")).out.startswith('{"runs"')


@pytest.mark.parametrize(
    ("words", "request_name", "sent"),
    [
        (("pause", "weekly", "--note", "audit"), "POST /schedules/weekly/pause", {"note": "audit"}),
        (("resume", "weekly"), "POST /schedules/weekly/resume", None),
        (("show", "weekly"), "GET /schedules/weekly", None),
    ],
)
async def test_a_schedule_is_controlled_and_shown(
    cluster: FakeCluster, run: Run, words: tuple[str, ...], request_name: str, sent: Any
) -> None:
    cluster.answer(request_name, {**SCHEDULE, "paused": True, "note": "audit"})
    ended = await run("schedules", *words)
    assert (ended.code, "paused: audit" in ended.out) == (Exit.OK, True)
    assert cluster.requests[-1][1] == (sent or "")


async def test_runs_are_asked_for(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("POST /schedules/weekly/run", {"nominal_at": "2026-11-30T06:00:00Z"})
    assert "2026-11-30T06:00:00Z" in (await run("schedules", "run", "weekly")).out
    cluster.answer("POST /schedules/weekly/backfill", {"runs": 4})
    ended = await run("schedules", "backfill", "weekly", "2026-11-01T00:00", "2026-11-30T00:00")
    assert ended.out == "weekly: 4 runs\n"
    assert cluster.requests[-1][1]["overlap"] == "queue"
    cluster.answer("GET /schedules", {"schedules": [SCHEDULE, {**SCHEDULE, "paused": True}]})
    listed = await run("schedules", "list")
    assert all(words in listed.out for words in ("template numbers", "2026-12-07 05:00 UTC", "paused"))
    cluster.answer("DELETE /schedules/weekly", {})
    assert (await run("schedules", "delete", "weekly")).out == "weekly: deleted\n"


async def test_lists_that_go_on_say_how(cluster: FakeCluster, run: Run) -> None:
    lists: list[tuple[tuple[str, ...], str, dict[str, Any], str, str]] = [
        (("schedules", "list"), "/schedules", {"schedules": [SCHEDULE]}, "after", "weekly"),
        (("templates", "list"), "/templates", {"templates": [TEMPLATE]}, "after", "numbers"),
        (("schedules", "runs", "weekly"), "/schedules/weekly/runs", {"runs": []}, "before", "2026-11-30T06:00:00Z"),
    ]  # fmt: skip
    for words, path, page, option, cursor in lists:
        cluster.answer(f"GET {path}", page | {f"next_{option}": cursor})
        assert f"--{option} {cursor}" in (await run(*words)).err
        cluster.answer(f"GET {path}", page)
        assert f"--{option}" not in (await run(*words, f"--{option}", cursor, "--limit", "7")).err
        sent = dict(cluster.queries[-1])
        assert sent["limit"] == "7"
        assert sent[option].startswith(cursor[:10])

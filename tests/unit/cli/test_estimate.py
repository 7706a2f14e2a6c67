"""`batchyard submit --estimate` tells when a batch would end and submits nothing; `--deadline` tells it first."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

BATCH = "01a2008f-4604-7efd-98df-b7f5c6a1a078"
ACCEPTED = {
    "batch_id": BATCH,
    "workload": "noop",
    "items": 1,
    "replayed": False,
    "accepted_at": "2026-11-21T20:00:00Z",
}
ESTIMATE: dict[str, Any] = {
    "items": 2,
    "forecast": {
        "at": "2026-11-30T12:00:00Z",
        "p10": "2030-11-30T12:10:00Z",
        "p50": "2030-11-30T12:16:00Z",
        "p90": "2030-11-30T12:25:00Z",
        "reason": {"code": "workers_busy", "detail": "The workers run as many items as they can."},
    },
    "chance": 0.4,
    "alternatives": [{"kind": "weight", "value": 5, "detail": "With a weight of 5 it would do."}],
}


async def test_an_estimate_of_items_is_printed_and_nothing_is_submitted(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /estimates", ESTIMATE)
    ended = await run("submit", "noop", "--item", '{"n": 1}', "--item", '{"n": 2}', "--weight", "2", "--estimate")
    assert ended.code == Exit.OK, ended
    assert cluster.requests == [("POST /estimates", '{"n": 1}\n{"n": 2}\n')]
    assert dict(cluster.queries[0]) == {"workload": "noop", "priority": "normal", "options": '{"weight":2}'}
    lines = ended.out.splitlines()
    assert lines[0].startswith("2 items would end 2030-11-30")
    assert "The chance to end by the deadline is 40%." in ended.out
    assert "With a weight of 5" in ended.out


@pytest.mark.parametrize(
    ("name", "text", "sent", "media_type"),
    [
        ("a.ndjson", '{"n": 1}\n', '{"n": 1}\n', "application/x-ndjson"),
        ("a.csv", "n\n1\n", "n\n1\n", "text/csv"),
        ("a.json", '[{"n": 1}]', '{"n": 1}\n', "application/x-ndjson"),
    ],
)
async def test_an_estimate_of_a_file_is_json_on_demand(
    name: str, text: str, sent: str, media_type: str, run: Run, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.answer("POST /estimates", ESTIMATE)
    (tmp_path / name).write_text(text)
    ended = await run("submit", "noop", str(tmp_path / name), "--estimate", "--json")
    assert json.loads(ended.out) == ESTIMATE
    assert cluster.requests == [("POST /estimates", sent)]
    assert cluster.headers[0]["Content-Type"] == media_type


async def test_a_deadline_is_judged_before_the_batch_is_submitted(
    run: Run, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.answer("POST /estimates", ESTIMATE)
    cluster.answer("POST /batches", ACCEPTED, status=202)
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n')
    ended = await run("submit", "noop", str(tmp_path / "a.ndjson"), "--deadline", "2h")
    assert (ended.code, ended.out) == (Exit.OK, f"{BATCH}\n")
    assert [name for name, _ in cluster.requests] == ["POST /estimates", "POST /batches"]
    assert "The chance to end by the deadline is 40%." in ended.err


async def test_a_batch_is_submitted_also_if_nothing_can_be_estimated(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    ended = await run("submit", "noop", "--item", "{}", "--deadline", "2h")
    assert (ended.code, ended.out) == (Exit.OK, f"{BATCH}\n")
    assert "estimates" not in ended.err


async def test_a_refused_estimate_is_an_error(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /estimates", {"title": "x", "status": 422, "detail": "n: not a number"}, status=422)
    ended = await run("submit", "noop", "--item", "{}", "--estimate")
    assert ended.code != Exit.OK
    assert "not a number" in ended.err

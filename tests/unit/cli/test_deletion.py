"""`batchyard delete` deletes a batch and shows what was deleted; `batchyard retention` shows and changes rules."""

from typing import Any

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

ASKED: dict[str, Any] = {"batch_id": BATCH, "cause": "command", "deleted": {"ingest": {"batches": 1, "appends": 0}}}
EVERYWHERE = {
    **ASKED["deleted"],
    "dispatcher": {},
    "aggregator": {"outcomes": 1200, "failures": 1, "completions": 2, "outbox": 1},
    "notifier": {"rounds": 1},
}
DONE = {**ASKED, "completed_at": "2026-11-21T20:00:00Z", "deleted": EVERYWHERE}
WORDS = """ingest: 1 batch
dispatcher: nothing
aggregator: 1,200 outcomes, 1 failure, 3 other records
notifier: 1 other record
"""
RETENTION = {
    "effective": {"payloads": 7.0, "outcomes": 1.0},
    "defaults": {"payloads": 7.0},
    "rules": [{"owner": "ann", "workload": "*", "days": {"outcomes": 1.0}}],
}


async def test_a_batch_is_deleted_and_the_command_waits_for_every_service(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"DELETE /batches/{BATCH}", ASKED, status=202)
    cluster.answer(f"GET /batches/{BATCH}/deletion", ASKED, DONE)
    ended = await run("delete", BATCH, "--yes")
    assert (ended.code, ended.out) == (Exit.OK, f"{WORDS}{BATCH}: deleted\n")
    assert len([name for name, _ in cluster.requests if name.startswith("GET")]) == 2


async def test_nothing_is_deleted_unless_it_is_confirmed(run: Run, cluster: FakeCluster) -> None:
    ended = await run("delete", BATCH)
    assert ended.code == Exit.USAGE
    assert "--yes" in ended.err
    assert cluster.requests == []


async def test_a_service_that_does_not_answer_is_told(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.actions.deletion._PATIENCE_S", 0.0)
    cluster.answer(f"DELETE /batches/{BATCH}", ASKED, status=202)
    cluster.answer(f"GET /batches/{BATCH}/deletion", ASKED)
    ended = await run("delete", BATCH, "--yes", "--owner", "ann")
    assert ended.code == Exit.OK
    assert "have not answered yet" in ended.err
    assert dict(cluster.queries[-1]) == {"owner": "ann"}


async def test_the_retention_is_shown_with_its_rules(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /retention", RETENTION)
    ended = await run("retention", "show", "--workload", "http")
    text = " ".join(ended.out.split())
    assert ended.code == Exit.OK
    assert "payloads 7 days 7 days" in text
    assert "outcomes, results and failures 1 day until deleted 1 day" in text
    assert dict(cluster.queries[-1]) == {"workload": "http"}


async def test_rules_are_set_and_taken_back(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("PATCH /retention", RETENTION)
    assert (await run("retention", "set", "--owner", "ann", "--outcomes", "1")).code == Exit.OK
    assert cluster.requests[-1] == ("PATCH /retention", {"owner": "ann", "outcomes": 1.0})
    assert (await run("retention", "clear", "--owner", "ann", "--workload", "http")).code == Exit.OK
    nothing = dict.fromkeys(("payloads", "outcomes", "deliveries", "batch"))
    assert cluster.requests[-1] == ("PATCH /retention", {"owner": "ann", "workload": "http", **nothing})


async def test_a_rule_that_sets_nothing_is_refused(run: Run, cluster: FakeCluster) -> None:
    for arguments in (("set",), ("set", "--owner", "ann"), ("set", "--outcomes", "-1")):
        assert (await run("retention", *arguments)).code == Exit.USAGE
    assert cluster.requests == []

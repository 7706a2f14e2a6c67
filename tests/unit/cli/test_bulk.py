"""`batchyard bulk` shows which batches an action is for, and acts on them when it is told to."""

from typing import Any

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

ACTION: dict[str, Any] = {
    "id": BATCH, "action": "pause", "state": "running", "done": 3, "refused": 1, "error": "batch_finished: over",
    "created_at": "2026-11-30T06:00:00Z",
}  # fmt: skip
OPTIONS = ("--status", "running", "-q", "night", "--label", "team=a", "--since", "2026-12-24T18:00+00:00")
FILTER = {"state": ["running"], "q": "night", "label": {"team": "a"}, "accepted_from": "2026-12-24T18:00:00+00:00"}


async def test_without_yes_the_batches_are_shown_and_nothing_is_changed(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batch-actions", {"count": 2000, "more": True, "samples": [state()]})
    ended = await run("bulk", "run", "pause", *OPTIONS)
    assert ended.code == Exit.OK
    assert cluster.requests == [("POST /batch-actions", {"action": "pause", "filter": FILTER, "dry_run": True})]
    assert BATCH in ended.out
    assert "pause: at least 2,000 batches" in ended.out
    assert "--yes" in ended.err


async def test_with_yes_it_begins_and_can_be_looked_at(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batch-actions", ACTION, status=202)
    cluster.answer(f"GET /batch-actions/{BATCH}", ACTION | {"state": "ended"})
    cluster.answer("GET /batch-actions", {"actions": [ACTION]})
    assert "3 done, 1 refused (batch_finished: over)" in (await run("bulk", "run", "pause", *OPTIONS, "--yes")).out
    assert cluster.requests == [("POST /batch-actions", {"action": "pause", "filter": FILTER})]
    assert f"{BATCH} pause ended: 3 done" in (await run("bulk", "show", BATCH)).out
    assert f"{BATCH} pause running: 3 done" in (await run("bulk", "list")).out
    assert (await run("bulk", "show", "x")).code == Exit.USAGE
    cluster.answer(
        f"GET /batch-actions/{BATCH}", ACTION | {"state": "ended", "refused": 0, "error": "key_revoked: it was"}
    )
    assert "3 done (key_revoked: it was), begun" in (await run("bulk", "show", BATCH)).out


async def test_a_change_names_the_priority(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batch-actions", {"count": 0, "samples": []})
    ended = await run("bulk", "run", "change", "--to", "low", "--workload", "http")
    sent = {"action": "change", "filter": {"workload": "http"}, "priority": "low", "dry_run": True}
    assert (cluster.requests, ended.out) == ([("POST /batch-actions", sent)], "change: 0 batches\n")

"""`batchyard why` says in words what holds back a batch."""

from typing import Any

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

PAUSE = {"code": "destination_backoff", "detail": "a.example asked for a pause (HTTP 429)."}
LIMIT = {"limit": "partition", "partition": "a.example", "per_second": 2.0, "reason": "p95 rose", "in_flight": 1}
FULL: dict[str, Any] = {
    "found": True,
    "reasons": [
        {**PAUSE, "until": "2026-11-21T20:00:30Z", "items": 2900, "partition": "a.example"},
        {"code": "retry_due_later", "detail": "Items wait to be tried again.", "items": 1},
    ],
    "workers": 1,
    "waiting": 2900,
    "more_waiting": True,
    "in_flight": 8,
    "retries": 1,
    "next_retry_at": "2026-11-21T20:00:42Z",
    "share": {"place": 2, "batches": 3, "share": 0.25, "owner_share": 0.5, "preceded_by": ["immediate"]},
    "destinations": [
        {"partition": "a.example", "waiting": 2900, "in_flight": 8, "retries": 1, "reason": PAUSE, "limits": [LIMIT]},
        {"partition": "b.example", "waiting": 1, "limits": []},
    ],
    "more_destinations": 4,
}


async def why(run: Run, cluster: FakeCluster, answer: dict[str, Any]) -> str:
    cluster.answer(f"GET /batches/{BATCH}/reasons", answer)
    ended = await run("why", BATCH)
    assert ended.code == Exit.OK
    return " ".join(ended.out.split())


async def test_the_reasons_come_first_then_numbers_and_destinations(run: Run, cluster: FakeCluster) -> None:
    text = await why(run, cluster, FULL)
    assert "1. a.example asked for a pause (HTTP 429). Until 2026-11-21" in text
    assert "It holds back 2,900 items. 2. Items wait to be tried again. It holds back 1 item." in text
    assert "at least 2,900 items waiting; 8 at workers; 1 to be tried again, the next at 2026-11-21" in text
    assert "number 2 of 3 of your batches, with 25% of your share, which is 50% of the workers; immediate first" in text
    assert "a.example 2900 8 1 2/s" in text
    assert "p95 rose" in text
    assert "4 more destinations hold back less." in text


async def test_a_pause_names_who_gave_it(run: Run, cluster: FakeCluster) -> None:
    by = {"at": "2026-11-21T20:00:00Z", "action": "batch.pause", "actor": "ann", "door": "http"}
    paused = {"code": "paused", "detail": "The batch is paused."}
    text = await why(run, cluster, {"found": True, "reasons": [paused], "paused_by": by})
    assert "1. The batch is paused. Paused by ann at 2026-11-21" in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"found": False}, "Nothing: the batch has ended."),
        ({"waiting": 3}, "Nothing holds it back: its items are about to run."),
        ({"in_flight": 3}, "Nothing holds it back: all that remains runs."),
        ({}, "Nothing: no item of it waits."),
    ],
)
async def test_a_batch_without_a_reason_is_told_so(
    answer: dict[str, Any], words: str, run: Run, cluster: FakeCluster
) -> None:
    assert (await why(run, cluster, answer)).startswith(words)


async def test_json_is_what_the_server_sent(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/reasons", {"found": False, "reasons": []})
    assert '"found": false' in (await run("why", BATCH, "--json")).out.replace('":', '": ').replace("  ", " ")

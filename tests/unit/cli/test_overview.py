"""`batchyard overview` says what runs and what needs somebody, each with the command that shows more."""

from typing import Any

from services.cli.exit_codes import Exit
from services.cli.rendering.overview_block import _NEXT
from services.ingest.domain.attention import Kind
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

FULL: dict[str, Any] = {
    "at": "2026-11-30T06:00:00Z",
    "batches": {"open": 1, "running": 2, "paused": 0, "completed": 7, "partial": 0, "failed": 1, "cancelled": 0},
    "items": {"remaining": 120, "running": 5},
    "items_per_s": 2.5,
    "attention": [
        {"kind": "batch_failed", "detail": "'sets' ended partial: 1 of 3 items failed or expired", "batch_id": BATCH},
        {"kind": "no_worker", "detail": "No worker runs w: 1 batch waits", "workload": "w"},
    ],
    "system": [
        {"name": "dispatcher", "kind": "service", "state": "up", "instances": 1, "messages": 3},
        {"name": "worker", "kind": "service", "state": "up", "instances": 4},
        {"name": "Redis", "kind": "server", "state": "away"},
    ],
    "ends": [state(status="finished", result="completed")],
}


async def shown(run: Run, cluster: FakeCluster, answer: dict[str, Any]) -> str:
    cluster.answer("GET /overview", answer)
    ended = await run("overview")
    assert ended.code == Exit.OK
    return " ".join(ended.out.split())


async def test_numbers_needs_system_and_last_ends_are_shown(run: Run, cluster: FakeCluster) -> None:
    text = await shown(run, cluster, FULL)
    assert "batches 2 running, 1 open, 0 paused; in the last 24 hours 7 completed, 1 failed" in text
    assert "items 120 remaining, 5 at workers, 2.5/s end" in text
    assert f"items failed or expired batchyard failures {BATCH}" in text
    assert "1 batch waits batchyard workers" in text
    assert "dispatcher up (3 messages wait), worker 4 up, Redis away" in text
    assert f"ended last batch workload state items accepted {BATCH}" in text.replace(" name", "")


async def test_parts_that_are_not_known_are_left_out(run: Run, cluster: FakeCluster) -> None:
    less = {"batches": {"open": 0, "running": 1}, "items": {"remaining": 3}, "items_per_s": 0.0, "system": []}
    text = await shown(run, cluster, less)
    assert text.startswith("batches 1 running, 0 open items 3 remaining, none end now Nothing needs you.")


def test_every_kind_has_a_command_that_shows_more() -> None:
    assert set(_NEXT) == set(Kind.__args__)  # type: ignore[attr-defined]

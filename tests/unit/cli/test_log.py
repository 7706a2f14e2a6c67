"""`batchyard log` tells what happened to a batch, the oldest first."""

import json

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

ENTRIES = [
    {"at": "2026-11-30T06:00:09Z", "kind": "ended", "round": 1, "result": "cancelled", "reason": "failure_threshold"},
    {"at": "2026-11-30T06:00:06Z", "kind": "rate_changed", "partition": "a.example", "reason": "-50%: p95 rose",
     "before": {"per_second": 4.0}, "after": {"per_second": 2.0}},
    {"at": "2026-11-30T06:00:05Z", "kind": "changed", "actor": "ann", "door": "http",
     "before": {"priority": "normal"}, "after": {"rate": {"per_second": 20, "burst": 1}}},
    {"at": "2026-11-30T06:00:04Z", "kind": "circuit_opened", "partition": "a.example", "reason": "captcha"},
    {"at": "2026-11-30T06:00:01Z", "kind": "started", "round": 1},
    {"at": "2026-11-30T06:00:00Z", "kind": "accepted", "actor": "ann", "door": "http"},
]  # fmt: skip


async def test_the_log_is_read_from_top_to_bottom(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/timeline", {"entries": ENTRIES, "next": "2026-11-30T05:00:00Z"})
    ended = await run("log", BATCH, "--limit", "6")
    assert ended.code == Exit.OK
    lines = [" ".join(line.split()[2:]) for line in ended.out.splitlines()]
    assert lines == [
        "accepted by ann (http)",
        "started round 1",
        "circuit opened a.example, captcha",
        "changed by ann (http), rate per_second 20 burst 1",
        "rate changed a.example from 4/s to 2/s, -50%: p95 rose",
        "ended cancelled, failure threshold",
    ]
    assert "--before 2026-11-30T05:00:00" in ended.err
    assert dict(cluster.queries[0]) == {"limit": "6"}


async def test_json_is_the_page_of_the_server(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/timeline", {"entries": ENTRIES})
    assert json.loads((await run("log", BATCH, "--json")).out) == {"entries": ENTRIES}

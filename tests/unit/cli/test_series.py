"""`batchyard series` shows throughput and durations over time, of one batch or of all."""

from typing import Any

import pytest

from services.cli.exit_codes import Exit
from services.cli.rendering.series_table import bar, duration_text, sparkline
from tests.unit.cli.conftest import BATCH, FakeCluster, Run

POINTS: list[dict[str, Any]] = [
    {"at": "2026-11-30T06:00:00Z", "succeeded": 9.0, "failed": 1.0, "other": 0.0, "p50_ms": 210.0, "p95_ms": 8900.0},
    {"at": "2026-11-30T06:00:10Z", "succeeded": 0.0, "failed": 0.0, "other": 0.0},
]


DESTINATIONS = [
    {"partition": "a.example", "p50_ms": [100.0, None], "p95_ms": [200.0, None]},
    {"partition": "b.example", "p50_ms": [None, 5.0], "p95_ms": [None, 6000.0]},
]


async def test_a_batch_has_a_line_for_each_step(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/series", {"step_s": 10, "points": POINTS})
    cluster.answer(f"GET /batches/{BATCH}/timeline", {"entries": []})
    ended = await run("series", BATCH, "--points", "2")
    assert ended.code == Exit.OK
    assert ("points", "2") in cluster.queries[-2]
    _, busy, idle = [line.split() for line in ended.out.splitlines()]
    assert busy[1:] == ["█" * 22 + "xx", "9/s", "1/s", "0", "210", "ms", "8.9", "s"]
    assert idle[1:] == ["0", "0", "0", "-", "-"]


async def test_times_at_a_destination_and_what_happened_are_shown(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/series", {"step_s": 10, "points": POINTS, "destinations": DESTINATIONS})
    entries = [
        {"at": "2026-11-30T06:00:15Z", "kind": "circuit_opened", "partition": "b.example"},
        {"at": "2026-11-30T06:00:12Z", "kind": "paused"},
        {"at": "2026-11-30T06:00:00Z", "kind": "accepted"},
        {"at": "2026-11-30T05:59:00Z", "kind": "changed"},
    ]
    cluster.answer(f"GET /batches/{BATCH}/timeline", {"entries": entries})
    ended = await run("series", BATCH)
    assert ended.code == Exit.OK
    _, busy, idle, hint = ended.out.splitlines()
    assert idle.endswith("paused, circuit opened b.example")
    assert "accepted" not in busy
    assert "a.example, b.example" in hint
    ended = await run("series", BATCH, "--destination", "b.example")
    _, busy, idle = ended.out.splitlines()
    assert idle.split()[4:8] == ["5", "ms", "6", "s"]
    ended = await run("series", BATCH, "--destination", "c.example")
    assert (ended.code, "a.example, b.example" in ended.err) == (Exit.USAGE, True)
    assert (await run("series", "--destination", "b.example")).code == Exit.USAGE


async def test_all_batches_are_shown_for_a_span(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /series", {"step_s": 0, "points": []})
    ended = await run("series", "--span", "week")
    assert ("span", "week") in cluster.queries[-1]
    assert ended.out.startswith("There is nothing to show")


async def test_json_is_what_the_server_sent(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /series", {"step_s": 10, "points": POINTS})
    ended = await run("series", "--json")
    assert '"p95_ms":8900' in ended.out.replace(" ", "")


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [(10, 0, "█" * 24), (5, 5, "█" * 12 + "x" * 12), (0, 0.001, ""), (9.99, 0.01, "█" * 23 + "x")],
)
def test_a_bar_marks_failures(good: float, bad: float, text: str) -> None:
    assert bar(good, bad, 10).plain == text


def test_durations_and_small_bars() -> None:
    assert [duration_text(each) for each in (None, 0.5, 999, 1500, 600_000)] == [
        "-",
        "0.5 ms",
        "999 ms",
        "1.5 s",
        "10 min",
    ]
    assert sparkline([0, 4, 8]) == " ▄█"
    assert sparkline([0, 0]) == "  "

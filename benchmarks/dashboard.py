"""`python -m benchmarks.dashboard`: how fast the dashboard is with 10,000 batches and a batch of a million items.

The rows are written straight into the database. Frames are played back from here, so that the services are idle
meanwhile. It prints the figures beside what is promised, and fails if one does not hold.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
from playwright.async_api import Browser, Page, async_playwright

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.ids import new_batch_id
from devstack import Servers, default_home
from tests.support.chromium import START_FLAGS, chromium_program
from tests.support.cluster import running_cluster
from tests.support.dashboard_visit import sign_in, visiting
from tests.support.keyed_cluster import KeyedCluster
from tests.support.servers import running_servers

BATCHES, ITEMS = 10_000, 1_000_000
_RUNS = 5
_FRAMES_PER_S, _FRAMES = 20, 400
_ROWS = 50
_PROMISES = {"first view of the batches": 1000.0, "first view of a batch of a million": 1000.0, "row 999,999": 300.0}
"""Longest times in milliseconds."""
_LONGEST_TASK_MS = 50.0
"""Most processor time of one task of the page, which other programs on the machine do not prolong."""

_COPIES = """
INSERT INTO {table} SELECT (jsonb_populate_record(one, jsonb_build_object('batch_id', copy_id, 'idempotency_key', NULL,
    'message_id', NULL, 'name', 'batch ' || place {more}))).*
FROM {table} AS one, unnest($2::uuid[]) WITH ORDINALITY AS copies (copy_id, place) WHERE one.batch_id = $1
"""
_MILLION = """
INSERT INTO aggregator.outcomes (batch, ordinal, round, attempts, elapsed_ms, cached, status, custom_id)
SELECT id, ordinal, 1, 1, 5 + ordinal % 90, false, 'succeeded', 'row-' || ordinal
FROM aggregator.batches, generate_series($2::int, $3::int) AS ordinal WHERE batch_id = $1
"""
_PLAYED_SOCKET = """
window.subscribed = {};
window.WebSocket = class {
  static OPEN = 1;
  readyState = 0;
  constructor() {
    setTimeout(() => {
      this.readyState = 1;
      this.onopen?.();
      this.onmessage?.({ data: JSON.stringify({ type: "hello", version: "0", beat_s: 15 }) });
    });
  }
  send(text) {
    const { op, topic, id } = JSON.parse(text);
    if (op === "sub") window.subscribed[topic] = { socket: this, id };
  }
  close() {}
};
let texts = [];
let play = null;
window.take = (topic, frames) => {
  const { socket, id } = window.subscribed[topic];
  texts = frames.map((data, at) => JSON.stringify([{ id, seq: at + 1, kind: "change", data }]));
  play = (text) => socket.onmessage({ data: text });
};
window.play = (pause) => new Promise((done) => {
  let next = 0;
  const timer = setInterval(() => {
    play(texts[next++]);
    if (next < texts.length) return;
    clearInterval(timer);
    done();
  }, pause);
});
"""
"""A WebSocket whose frames come from the page itself: neither a network nor the driver of the browser takes part."""
_ROWS_ARE_THERE = "() => document.querySelectorAll('tbody tr').length >= 50 && performance.now()"


async def fill(servers: Servers, model: UUID) -> UUID:
    """Copy a finished batch 10,000 times, and give one of the copies a million items; return its id."""
    ids = sorted(new_batch_id() for _ in range(BATCHES))
    large = ids[-1]
    database = await asyncpg.connect(servers.database_url)
    try:
        await database.execute(_COPIES.format(table="ingest.batches", more=""), model, ids)
        identity = "SELECT setval(pg_get_serial_sequence('aggregator.batches', 'id'), 1000000)"
        await database.execute(identity)
        copies = _COPIES.format(table="aggregator.batches", more=", 'id', 1000 + place")
        await database.execute(copies.replace(" SELECT (", " OVERRIDING SYSTEM VALUE SELECT (", 1), model, ids)
        for first in range(0, ITEMS, 100_000):
            await database.execute(_MILLION, large, first, first + 99_999, timeout=600)
        await database.execute("UPDATE ingest.batches SET items = $2 WHERE batch_id = $1", large, ITEMS)
        totals = "UPDATE aggregator.batches SET total = $2, succeeded = $2 WHERE batch_id = $1"
        await database.execute(totals, large, ITEMS)
        await database.execute("ANALYZE")
    finally:
        await database.close()
    return large


async def first_view(page: Page, address: str, are_there: str) -> float:
    """Return the milliseconds from the click on a link to the moment at which the page has its content."""
    await page.goto(address, wait_until="commit")
    found = await page.wait_for_function(are_there)
    return float(await found.json_value())


async def jump(page: Page, ordinal: int) -> float:
    """Return the milliseconds from Enter to the row of an item."""
    field = page.get_by_label("From item")
    await field.fill(str(ordinal))
    began = float(await page.evaluate("performance.now()"))
    await field.press("Enter")
    name = f"Item {ordinal}"
    row = f"""() => document.querySelector('[aria-label="{name}"]') && performance.now()"""
    found = await page.wait_for_function(row)
    return float(await found.json_value()) - began


def frame(ids: list[str], number: int) -> list[dict[str, Any]]:
    """Return progress of some batches, as the stream sends it."""
    counts = {"total": 1_000_000, "succeeded": number * 500, "failed": number, "remaining": 1_000_000 - number * 501}
    shared = {
        "type": "batch.progressed.v1", "workload": "noop", "owner": "ann", "round": 1, "status": "running",
        "counts": counts, "items_per_s": 1000.0 + number, "eta_s": 500.0 - number, "at": "2026-11-30T06:00:00Z",
    }  # fmt: skip
    return [{**shared, "batch_id": each} for each in ids]


async def longest_task(
    browser: Browser, url: str, key: str, path: str, topic: str, ids: list[str]
) -> tuple[float, float]:
    """Play frames back for 20 seconds; return the duration of the longest task of the page in milliseconds, and the
    most processor time that one took."""
    async with visiting(browser, url) as visit:
        await sign_in(visit, key)
        await visit.page.add_init_script(_PLAYED_SOCKET)
        await visit.go(path)
        await visit.page.wait_for_function("topic => topic in window.subscribed", arg=topic)
        await visit.page.wait_for_load_state("networkidle")
        frames = [frame(ids, number) for number in range(1, _FRAMES + 1)]
        data = frames if topic == "batches" else [events[0] for events in frames]
        await visit.page.evaluate("([topic, frames]) => window.take(topic, frames)", [topic, data])
        client = await visit.context.new_cdp_session(visit.page)
        await client.send("HeapProfiler.collectGarbage")  # what loading left behind
        await browser.start_tracing(page=visit.page, categories=["toplevel", "devtools.timeline"])
        await visit.page.evaluate("pause => window.play(pause)", 1000 / _FRAMES_PER_S)
        trace = json.loads(await browser.stop_tracing())["traceEvents"]
        threads = {
            (event["pid"], event["tid"])
            for event in trace
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks = [
            event for event in trace if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in threads
        ]
        return max(task.get("dur", 0) for task in tasks) / 1000, max(task.get("tdur", 0) for task in tasks) / 1000


async def measure(browser: Browser, url: str, key: str, large: UUID) -> dict[str, list[float]]:
    """Measure views and jumps, each with an empty cache."""
    found: dict[str, list[float]] = {name: [] for name in _PROMISES}
    for _ in range(_RUNS):
        async with visiting(browser, url) as visit:
            await sign_in(visit, key)
            found["first view of the batches"].append(await first_view(visit.page, f"{url}/batches", _ROWS_ARE_THERE))
        async with visiting(browser, url) as visit:
            await sign_in(visit, key)
            items = f"{url}/batches/{large}/items"
            found["first view of a batch of a million"].append(await first_view(visit.page, items, _ROWS_ARE_THERE))
            found["row 999,999"].append(await jump(visit.page, 999_999))
    return found


async def run(servers: Servers, say: Callable[[str], None]) -> bool:
    """Measure everything, and print it; return whether all promises hold."""
    key = new_api_key("test")
    async with (
        running_cluster(servers, {"BATCHYARD_OPERATOR_KEY": key}, token=key) as cluster,
        async_playwright() as playwright,
    ):
        first = KeyedCluster(cluster, key, "")
        keyed = KeyedCluster(cluster, key, await first.create_key("ann"))
        large = await fill(servers, await keyed.submit_and_wait([{"n": 1}], name="model"))
        browser = await playwright.chromium.launch(executable_path=chromium_program(), args=list(START_FLAGS))
        found = await measure(browser, keyed.url, keyed.owner_key, large)
        holds = True
        for name, times in found.items():
            median = statistics.median(times)
            holds &= median <= _PROMISES[name]
            spread = f"{min(times):.0f} to {max(times):.0f}"
            say(f"{name}: {median:.0f} ms ({spread}, {len(times)} runs), promised {_PROMISES[name]:.0f} ms")
        slow = [{"n": 1, "sleep_s": 600}]
        running = [str(await keyed.submit(slow, name=f"played back {number}")) for number in range(_ROWS)]
        lists: list[tuple[str, str, list[str]]] = [
            ("/batches?status=running", "batches", running),
            (f"/batches/{running[0]}", f"batch/{running[0]}", running[:1]),
        ]
        for path, topic, ids in lists:
            longest, busiest = await longest_task(browser, keyed.url, keyed.owner_key, path, topic, ids)
            holds &= busiest <= _LONGEST_TASK_MS
            say(f"{_FRAMES} frames at {_FRAMES_PER_S}/s of {topic.partition('/')[0]}: longest task {longest:.0f} ms, "
                f"{busiest:.0f} ms of the processor, promised {_LONGEST_TASK_MS:.0f} ms")  # fmt: skip
        await browser.close()
        return holds


def main() -> int:
    """Run it; return the exit code."""
    with running_servers(default_home()) as shared, shared.isolated() as servers:
        return 0 if asyncio.run(run(servers, print)) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Takes all measurements of scale, one after the other: `scale.json`."""

from typing import Any

import orjson
from rich.console import Console

from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.report import UNFINISHED, conclude, keep, kept, number
from benchmarks.scale import fairness
from benchmarks.scale.curve import curve
from benchmarks.scale.urgent import urgent
from benchmarks.summary import Summary

PARTS = ("curve", "urgent", "fairness")


async def scale(bench: BenchServers, console: Console, runs: int, only: str | None = None) -> dict[str, Any]:
    """Measure and write. With `only` the earlier figures of the other parts stay."""
    document = (kept("scale") if only else None) or {}
    document["machine"] = await machine.described(bench.servers)
    if only in (None, "curve", "urgent"):
        async with running_cluster(bench, {}) as cluster:
            if only != "urgent":
                document["curve"] = await curve(cluster, console, runs)
                keep("scale", document, UNFINISHED)
            if only != "curve":
                taken = [ms for _ in range(runs) for ms in await urgent(cluster)]
                document["urgent_ms"] = Summary.of(taken).document()
                keep("scale", document, UNFINISHED)
                console.print(f"Ten immediate items behind a million: p99 {number(document['urgent_ms']['p99'])} ms")
    if only in (None, "fairness"):
        document["fairness"] = await _fairness(bench, console, runs)
    conclude(console, "scale", document)
    return document


async def _fairness(bench: BenchServers, console: Console, runs: int) -> dict[str, Any]:
    tokens = {"BATCHYARD_API_TOKENS": orjson.dumps(fairness.TOKENS).decode()}
    async with running_cluster(bench, tokens, fairness.headers(fairness.BIG)) as cluster:
        trials = [await fairness.share_of_the_small(cluster) for _ in range(runs)]
    found: dict[str, Any] = {
        "backlog": fairness.BACKLOG,
        "share": Summary.of([trial.share for trial in trials]).document(),
        "first_s": Summary.of([trial.first_s for trial in trials]).document(),
        "last_s": Summary.of([trial.last_s for trial in trials]).document(),
    }
    console.print(f"The small owner's share while it has a backlog: {number(found['share']['median'])}")
    return found

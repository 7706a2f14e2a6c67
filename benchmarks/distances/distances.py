"""Measures distances and recommendations, with the embedded estimate and with a router: `distances.json`."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import PLUGINS, running_cluster
from benchmarks.distances.million import million
from benchmarks.distances.recommendations import measure_recommendations
from benchmarks.distances.router import running_router
from benchmarks.distances.sizes import by_size, upload
from benchmarks.processes import Usage
from benchmarks.report import UNFINISHED, conclude, keep, kept, number

ROUTER_S = 0.05
"""Duration of a call of the router in seconds, beside the work of answering it."""
SLOW_S = 2.0
DEADLINE_S = 0.5
"""Time limit of a question in seconds, where the router takes `SLOW_S`."""
SAMPLES = 200
_BESIDE = 200_000
"""Number of pairs of the batch that runs beside the questions."""
_SIZED = {"PYTHONPATH": os.pathsep.join((PLUGINS, str(Path(__file__).parents[1] / "sized")))}


PARTS = ("sizes", "million")


async def distances(bench: BenchServers, console: Console, runs: int, only: str | None = None) -> dict[str, Any]:
    """Measure, print and write. With `only` the earlier figures of the other part stay."""
    document = (kept("distances") if only else None) or {}
    document["machine"] = await machine.described(bench.servers)
    if only in {None, "sizes"}:
        document |= await _sizes(bench, console, runs)
        keep("distances", document, UNFINISHED)
    if only in {None, "million"}:
        async with running_cluster(bench, {}) as cluster:
            document["million"] = await million(cluster, console)
    conclude(console, "distances", document)
    return document


async def _sizes(bench: BenchServers, console: Console, runs: int) -> dict[str, Any]:
    document: dict[str, Any] = {"router_ms": ROUTER_S * 1000}
    asked: dict[str, Any] = {}
    async with running_cluster(bench, _SIZED) as cluster:
        usage = Usage(cluster.everything)
        console.print("Estimates ...")
        asked["embedded"] = await measure_recommendations(cluster, SAMPLES)
        document["embedded"] = await by_size(cluster, console, runs, small_runs=40)
        batch_id = await upload(cluster, "distances", _BESIDE)
        asked["embedded, beside a large batch"] = await measure_recommendations(cluster, SAMPLES // 4)
        await cluster.finishes.of(batch_id, 600)
        document["embedded"]["others_share"] = {"max": usage.others_share()}
    async with running_router(ROUTER_S) as router:
        settings = {"PROVIDER": "osrm", "URL": router.url, "CACHE_TTL_S": "0"}
        environment = {f"BATCHYARD_DISTANCES_{name}": value for name, value in settings.items()}
        async with running_cluster(bench, _SIZED | environment) as cluster:
            console.print(f"A router that takes {ROUTER_S * 1000:g} ms for a call ...")
            asked["router"] = await measure_recommendations(cluster, SAMPLES // 2)
            document["router"] = await by_size(cluster, console, runs, small_runs=20, calls=router.calls)
            await router.pause(SLOW_S)
            asked["slow router"] = await measure_recommendations(cluster, 20, deadline_s=DEADLINE_S)
    document["recommendations_ms"] = asked
    for name, found in asked.items():
        console.print(f"Recommendations, {name}: p95 {number(found['p95'])} ms")
    return document

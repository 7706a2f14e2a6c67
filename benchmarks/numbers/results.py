"""Latency of the HTTP API when it serves the results of 100 items."""

import time

from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary
from tests.support.tracklist_kinds import page_url

ITEMS = 100
_TARGET = Target("p99", 200)
_END_S = 120.0


async def measure_results(cluster: Cluster, origins: list[str], samples: int) -> Figure:
    """Read the same 100 tracklists, tracks and CUE sheets included, again and again."""
    urls = [page_url(origins[i % len(origins)], "ok", 900_000 + i) for i in range(ITEMS)]
    accepted = await cluster.client.submit("tracklists", [{"url": url} for url in urls])
    await cluster.finishes.of(accepted.batch_id, _END_S)
    taken = []
    for _ in range(samples + 5):
        began = time.perf_counter()
        async with cluster.http.get(f"batches/{accepted.batch_id}/results") as answer:
            answer.raise_for_status()
            results = await answer.json()
        taken.append((time.perf_counter() - began) * 1000)
        if len(results) != ITEMS or any(result["status"] != "succeeded" for result in results):
            raise ValueError(f"{ITEMS} successes were to be served, there were {len(results)} results.")
    title = f"results of {ITEMS} tracklists by HTTP"
    return Figure("results_of_100", title, "ms", Summary.of(taken[5:]), _TARGET)

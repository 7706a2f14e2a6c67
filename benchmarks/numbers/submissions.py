"""Latency of the HTTP API when it acknowledges 100 addresses of tracklists."""

import time
from uuid import UUID

from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary
from tests.support.tracklist_kinds import page_url

ITEMS = 100
_TARGET = Target("p99", 100)
_END_S = 60.0


async def measure_submissions(cluster: Cluster, origins: list[str], samples: int) -> Figure:
    """Submit one batch at a time; each is cancelled and ended before the next, so that the cluster is idle."""
    taken = []
    for number in range(samples + 5):
        urls = [page_url(origins[i % len(origins)], "ok", number * ITEMS + i) for i in range(ITEMS)]
        command = {"workload": "tracklists", "items": [{"payload": {"url": url}} for url in urls]}
        began = time.perf_counter()
        async with cluster.http.post("batches", json=command) as answer:
            answer.raise_for_status()
            accepted = await answer.json()
        taken.append((time.perf_counter() - began) * 1000)
        async with cluster.http.post(f"batches/{accepted['batch_id']}/cancel") as answer:
            if answer.status != 409:  # it may have finished by itself
                answer.raise_for_status()
        await cluster.finishes.of(UUID(accepted["batch_id"]), _END_S)
    title = f"{ITEMS} tracklist URLs by HTTP, acknowledged"
    return Figure("submit_100_urls", title, "ms", Summary.of(taken[5:]), _TARGET)

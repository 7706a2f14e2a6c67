"""Times of reading results over HTTP: those of 100 tracklists, and of 100,000 trivial items."""

import time

from benchmarks import batchyard
from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED
from tests.support.tracklist_kinds import page_url

ITEMS = 100
_TARGET = Target("p99", 200)
_END_S = 120.0
_FORMATS = {"ndjson": Target("median", 1.5), "csv": Target("median", 2)}
_PIECE = 1 << 20


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


async def measure_formats(cluster: Cluster, runs: int) -> list[Figure]:
    """Read the results of 100,000 trivial items to their last byte, in each format."""
    batch_id = await batchyard.submit(cluster, HUNDRED)
    await cluster.finishes.of(batch_id, _END_S)
    figures = []
    for name, target in _FORMATS.items():
        taken = []
        for _ in range(runs):
            began = time.perf_counter()
            rows = 0
            async with cluster.http.get(f"batches/{batch_id}/results?format={name}") as answer:
                answer.raise_for_status()
                async for piece in answer.content.iter_chunked(_PIECE):
                    rows += piece.count(b"\n")
            taken.append(time.perf_counter() - began)
            if rows != HUNDRED.items + (name == "csv"):
                raise ValueError(f"{HUNDRED.items} results were to be read, there were {rows} lines.")
        title = f"{HUNDRED.items:,} results by HTTP as {name.upper()}"
        figures.append(Figure(f"results_{name}", title, "s", Summary.of(taken), target))
    return figures

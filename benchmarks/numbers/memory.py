"""Memory of the five services together while they read 1,000 pages."""

from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.processes import watching_memory
from benchmarks.summary import Summary
from tests.support.tracklist_kinds import urls

ITEMS = 1000
_TARGET = Target("high", 450)
_END_S = 600.0


async def measure_memory(cluster: Cluster, origins: list[str]) -> list[Figure]:
    """Run a batch that mixes good pages, failures and retries, and look at the services meanwhile."""
    items = [{"url": url} for url in urls(origins, ITEMS, seed=2)]
    async with watching_memory(cluster.services) as watched:
        accepted = await cluster.client.submit("tracklists", items)
        finish = await cluster.finishes.of(accepted.batch_id, _END_S)
    if finish.event.counts.ended != ITEMS:
        raise ValueError(f"{ITEMS} items were to end, {finish.event.counts.ended} did.")
    together = Summary.of(watched.together_mb)
    title = f"five services together, {ITEMS:,} tracklist URLs"
    return [
        Figure("pss_mb", f"{title}; shared pages count once", "MB", Summary.of(watched.proportional_mb), _TARGET),
        Figure("resident_mb", f"{title}; shared pages count in each process", "MB", together),
        *(
            Figure(f"resident_mb_{name}", f"of that, {name} at its highest", "MB", Summary.of([mb]))
            for name, mb in watched.highest_mb.items()
        ),
    ]

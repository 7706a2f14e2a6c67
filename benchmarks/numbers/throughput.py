"""Duration of 10,000 trivial items from end to end, and of a single one."""

from benchmarks import batchyard
from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary
from benchmarks.work import Work, check

ITEMS = 10_000
_TARGET = Target("median", 3)


async def many(cluster: Cluster, runs: int) -> list[Figure]:
    """One batch at a time; a first one, which is not counted, warms the services up."""
    work = Work("square", ITEMS)
    check(work, await batchyard.run(cluster, work))
    done = [check(work, await batchyard.run(cluster, work)) for _ in range(runs)]
    title = f"{ITEMS:,} trivial items, submitted to finished"
    rates = [ITEMS / run.seconds for run in done]
    return [
        Figure("batch_of_10k", title, "s", Summary.of([run.seconds for run in done]), _TARGET),
        Figure("batch_of_10k_rate", "the same as a rate", "items/s", Summary.of(rates)),
        Figure("batch_of_10k_submit", "of that, until acknowledged", "s", Summary.of([r.submit_s or 0 for r in done])),
    ]


async def single(cluster: Cluster, samples: int) -> Figure:
    """One item at a time in an idle cluster."""
    taken = [await batchyard.run_one(cluster, n) * 1000 for n in range(samples + 10)]
    return Figure("single_item", "one item, submitted to finished", "ms", Summary.of(taken[10:]))

"""Ten thousand items, a hundred thousand, a million: rate, time until accepted, memory and queues of each."""

from typing import Any

from rich.console import Console

from benchmarks import batchyard
from benchmarks.cluster import Cluster
from benchmarks.comparison import of_runs
from benchmarks.report import number
from benchmarks.scale.depth import watching_depth
from benchmarks.work import HUNDRED, MILLION, TEN, WARM_UP, check

_SIZES = (TEN, HUNDRED, MILLION)


async def curve(cluster: Cluster, console: Console, runs: int) -> dict[str, Any]:
    """Run each size so many times in one cluster, small ones first, and read every result of each."""
    check(WARM_UP, await batchyard.run(cluster, WARM_UP))
    found = {}
    for work in _SIZES:
        async with watching_depth(cluster.servers.amqp_url, "noop") as depths:
            done = [check(work, await batchyard.run(cluster, work)) for _ in range(runs)]
        found[work.name] = {
            **of_runs(work, done),
            "messages_waiting": {
                "together": depths.together,
                "by_queue": {queue: count for queue, count in depths.deepest.items() if count},
                "looks": depths.looks,
            },
        }
        rate, memory = (number(found[work.name][what]["median"]) for what in ("items_per_s", "resident_mb"))
        console.print(f"{work.name}: {rate} items/s, {memory} MB, at most {depths.together} messages waiting")
    return found

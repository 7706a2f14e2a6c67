"""Ten thousand items, a hundred thousand, a million: rate, time until accepted, memory and queues of each."""

from typing import Any

from rich.console import Console

from benchmarks import batchyard
from benchmarks.comparison import of_runs
from benchmarks.report import number
from benchmarks.scale.depth import watching_depth
from benchmarks.work import HUNDRED, MILLION, TEN, WARM_UP, check
from benchmarks.yard import Yard

_SIZES = (TEN, HUNDRED, MILLION)


async def curve(yard: Yard, console: Console, runs: int) -> dict[str, Any]:
    """Run each size so many times in one yard, small ones first, and read every result of each."""
    check(WARM_UP, await batchyard.run(yard, WARM_UP))
    found = {}
    for work in _SIZES:
        async with watching_depth(yard.servers.amqp_url, "noop") as depths:
            done = [check(work, await batchyard.run(yard, work)) for _ in range(runs)]
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

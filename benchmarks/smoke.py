"""The short comparison: four rates, three runs each, written for a program to read; and a guard of the cost of an item.

The cost is a ratio: processor time for each of 100,000 items, of Batchyard to the bare chunk pipeline of the same run.
So it hardly depends on the machine. `baseline.json` has the ratio that was committed.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import batchyard
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.costs import costs
from benchmarks.peers.peer import CELERY, CHUNK_LIMIT
from benchmarks.peers.session import running_peer
from benchmarks.report import keep, number
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, TEN, WARM_UP, Run, check

BASELINE = Path(__file__).parent / "baseline.json"
ALLOWED_GROWTH = 1.15
"""Largest ratio of the cost of an item to the baseline."""
_RATIO = "cpu_of_100k_to_bare_pipeline"


async def smoke(bench: BenchServers, console: Console, runs: int, *, keep_baseline: bool = False) -> bool:
    """Measure, print, and write `smoke.json`; with `keep_baseline` also the baseline. Return True if an item costs no
    more than the baseline allows."""
    done: dict[str, list[Run]] = {}
    async with running_cluster(bench, {}) as cluster:
        check(WARM_UP, await batchyard.run(cluster, WARM_UP))
        for name, work in (("batchyard_10k", TEN), ("batchyard_100k", HUNDRED)):
            console.print(f"Measuring {name} ...")
            done[name] = [check(work, await batchyard.run(cluster, work)) for _ in range(runs)]
    for name, peer, work in (("chunk_limit_100k", CHUNK_LIMIT, HUNDRED), ("celery_10k", CELERY, TEN)):
        async with running_peer(bench, peer) as session:
            console.print(f"Measuring {name} ...")
            done[name] = [(await session.run(work))[0] for _ in range(runs)]
    rates = {name: Summary.of([run.count / run.seconds for run in of]) for name, of in done.items()}
    console.print(_table(rates))
    console.print(f"Kept in {keep('smoke', document(rates))}", markup=False)
    ratio = cost_ratio(done["batchyard_100k"], done["chunk_limit_100k"])
    if keep_baseline:
        BASELINE.write_text(json.dumps({_RATIO: round(ratio, 3)}, indent=2) + "\n", "utf-8")
    baseline: float = json.loads(BASELINE.read_text("utf-8"))[_RATIO]
    fits = is_within(ratio, baseline)
    console.print(
        f"An item of 100,000 costs {ratio:.2f} times the processor time of the bare pipeline; the baseline is "
        f"{baseline:.2f}, {baseline * ALLOWED_GROWTH:.2f} is allowed.",
        style="" if fits else "bold red",
    )
    return fits


def cost_ratio(ours: Sequence[Run], bare: Sequence[Run]) -> float:
    """Return the ratio of the processor time of an item, by the medians of the runs."""
    return costs(HUNDRED, ours)["all"] / costs(HUNDRED, bare)["all"]


def is_within(ratio: float, baseline: float) -> bool:
    """Tell whether the cost of an item has grown by no more than is allowed."""
    return ratio <= baseline * ALLOWED_GROWTH


def document(rates: dict[str, Summary]) -> dict[str, dict[str, dict[str, float]]]:
    """The middle and both ends of each rate, and nothing else."""
    return {
        name: {"items_per_s": {"median": round(s.median, 1), "min": round(s.low, 1), "max": round(s.high, 1)}}
        for name, s in sorted(rates.items())
    }


def _table(rates: dict[str, Summary]) -> Table:
    table = Table("what", "items/s", "min - max", title="Smoke")
    for name, s in rates.items():
        table.add_row(name, number(s.median), f"{number(s.low)} - {number(s.high)}")
    return table

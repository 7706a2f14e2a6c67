"""The short comparison: four rates, three runs each, written for a program to read."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import batchyard
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.peers.peer import CELERY, CHUNK_LIMIT
from benchmarks.peers.session import running_peer
from benchmarks.report import keep, number
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, TEN, WARM_UP, Run, Work, check


async def smoke(bench: BenchServers, console: Console, runs: int) -> dict[str, Summary]:
    """Measure, print, and write `smoke.json`."""
    rates: dict[str, Summary] = {}
    async with running_cluster(bench, {}) as cluster:
        check(WARM_UP, await batchyard.run(cluster, WARM_UP))
        for name, work in (("batchyard_10k", TEN), ("batchyard_100k", HUNDRED)):
            console.print(f"Measuring {name} ...")
            rates[name] = _rates(work, [check(work, await batchyard.run(cluster, work)) for _ in range(runs)])
    for name, peer, work in (("chunk_limit_100k", CHUNK_LIMIT, HUNDRED), ("celery_10k", CELERY, TEN)):
        async with running_peer(bench, peer) as session:
            console.print(f"Measuring {name} ...")
            rates[name] = _rates(work, await session.run(work, runs))
    console.print(_table(rates))
    console.print(f"Kept in {keep('smoke', document(rates))}")
    return rates


def document(rates: dict[str, Summary]) -> dict[str, dict[str, dict[str, float]]]:
    """The middle and both ends of each rate, and nothing else."""
    return {
        name: {"items_per_s": {"median": round(s.median, 1), "min": round(s.low, 1), "max": round(s.high, 1)}}
        for name, s in sorted(rates.items())
    }


def _rates(work: Work, runs: Sequence[Run]) -> Summary:
    return Summary.of([work.items / run.seconds for run in runs])


def _table(rates: dict[str, Summary]) -> Table:
    table = Table("what", "items/s", "min - max", title="Smoke")
    for name, s in rates.items():
        table.add_row(name, number(s.median), f"{number(s.low)} - {number(s.high)}")
    return table

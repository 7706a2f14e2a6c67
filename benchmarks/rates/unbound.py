"""Cost of limits that do not bind: equal batches with and without a limit, in turn."""

from rich.console import Console

from benchmarks import batchyard
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import Cluster, running_cluster
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, check

LIMIT_PER_S = 1_000_000
OVERRIDE = {"partition": "", "rate": {"per_second": LIMIT_PER_S}}


async def cost_of_limits(bench: BenchServers, console: Console, runs: int) -> tuple[float, Summary, Summary]:
    """The share of the rate that is lost, the median over pairs that ran one after the other; and items a second
    without a limit, and with one that never binds."""
    free: list[float] = []
    limited: list[float] = []
    async with running_cluster(bench, {}) as cluster:
        check(HUNDRED, await batchyard.run(cluster, HUNDRED))  # chunks find their size
        for number in range(runs):
            for rates in (free, limited) if number % 2 == 0 else (limited, free):
                await _limit(cluster, wanted=rates is limited)
                run = check(HUNDRED, await batchyard.run(cluster, HUNDRED))
                rates.append(HUNDRED.items / run.seconds)
                console.print(f"100k items {'with' if rates is limited else 'without'} a limit: {rates[-1]:,.0f}/s")
    lost = Summary.of([1 - slowed / plain for plain, slowed in zip(free, limited, strict=True)]).median
    return lost, Summary.of(free), Summary.of(limited)


async def _limit(cluster: Cluster, *, wanted: bool) -> None:
    if wanted:
        request = cluster.http.put("rates/noop", json=OVERRIDE)
    else:
        request = cluster.http.delete("rates/noop", params={"partition": ""})
    async with request as answer:
        answer.raise_for_status()
        states = (await answer.json())["rates"]
    if bool(states and states[0].get("per_second")) is not wanted:
        raise ValueError(f"The limit did not take hold: {states}")

"""Runs batches under an adaptive rate and under fixed limits side by side, at a destination whose capacity changes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import Cluster, running_cluster
from benchmarks.rates.running import CallLog, Destination, running_destination
from benchmarks.rates.shares import Schedule
from benchmarks.work import WrongResults

ADAPTIVE, _WARM = "adaptive", "warm"
BOUNDS = {"floor": 5, "ceiling": 1000, "start": 10}
_CONCURRENCY = 500
"""Calls that run at once: enough that no partition waits for the slow calls of another."""
_SAMPLED_EVERY_S = 0.25
_SPARE = 1.2
"""Items of each partition, as a multiple of the calls that its destination can answer."""
_WARM_ITEMS = 40
_PIECE = 2000
_END_S = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """Calls under each limit, as the destination recorded them, and the adaptive rate over time."""

    adaptive: CallLog
    fixed: dict[float, CallLog]
    rates: list[tuple[float, float]]
    """Seconds since the first call of the adaptive partition, and items a second."""


async def follow(bench: BenchServers, schedule: Schedule, fixed: Sequence[float]) -> Run:
    """Run the schedule once, with a batch for each limit and a partition for each batch."""
    rates = {_name(rate): {"per_second": rate} for rate in fixed} | {_WARM: {"per_second": 20}}
    calling = {"adaptive": BOUNDS, "rates": rates, "concurrency": _CONCURRENCY}
    items = round(_SPARE * sum(seconds * capacity for seconds, capacity in schedule))
    stated = [f"{seconds:g}:{capacity:g}" for seconds, capacity in schedule]
    async with (
        running_destination(*stated) as destination,
        running_cluster(bench, {"CALLING": json.dumps(calling)}) as cluster,
    ):
        await cluster.finishes.of(await _submit(cluster, destination, _WARM, _WARM_ITEMS), _END_S)
        partitions = [ADAPTIVE, *map(_name, fixed)]
        batches = await asyncio.gather(*(_submit(cluster, destination, partition, items) for partition in partitions))
        samples = await _watch(cluster, sum(seconds for seconds, _ in schedule))
        call_logs = {partition: await destination.call_log(partition) for partition in partitions}
        await _cancel(cluster, batches)
    adaptive = call_logs[ADAPTIVE]
    return Run(
        adaptive,
        {rate: call_logs[_name(rate)] for rate in fixed},
        [(at - adaptive.began, rate) for at, rate in samples],
    )


def _name(rate: float) -> str:
    return f"fixed-{rate:g}"


async def _submit(cluster: Cluster, destination: Destination, partition: str, items: int) -> UUID:
    line = orjson.dumps(
        {"url": f"{destination.url}/call/{partition}", "partition": partition}, option=orjson.OPT_APPEND_NEWLINE
    )

    async def lines() -> AsyncIterator[bytes]:
        for start in range(0, items, _PIECE):
            yield line * min(_PIECE, items - start)

    headers = {"Content-Type": "application/x-ndjson"}
    async with cluster.http.post("batches?workload=calling", data=lines(), headers=headers) as answer:
        answer.raise_for_status()
        return UUID((await answer.json())["batch_id"])


async def _watch(cluster: Cluster, seconds: float) -> list[tuple[float, float]]:
    """Sample the adaptive rate until the schedule of every partition has ended."""
    samples: list[tuple[float, float]] = []
    end = time.monotonic() + seconds + 1
    while time.monotonic() < end:
        async with cluster.http.get("rates/calling", params={"partition": ADAPTIVE}) as answer:
            answer.raise_for_status()
            states = (await answer.json())["rates"]
        samples += [(time.monotonic(), state["per_second"]) for state in states]  # none before its first item goes out
        await asyncio.sleep(_SAMPLED_EVERY_S)
    return samples


async def _cancel(cluster: Cluster, batches: Sequence[UUID]) -> None:
    for batch in batches:
        async with cluster.http.post(f"batches/{batch}/cancel") as answer:
            answer.raise_for_status()
    for batch in batches:
        finish = await cluster.finishes.of(batch, _END_S)
        if finish.event.counts.failed:
            raise WrongResults(f"{finish.event.counts.failed} items failed; a refusal may only make one wait.")

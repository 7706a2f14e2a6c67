"""One run: a destination whose capacity changes, called under an adaptive rate and under fixed limits side by side."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from benchmarks.cluster import Cluster, running_cluster
from benchmarks.rates.running import Destination, Told, running_destination
from benchmarks.rates.shares import Schedule
from benchmarks.stand import Stand
from benchmarks.work import WrongResults

ADAPTIVE, _WARM = "adaptive", "warm"
BOUNDS = {"floor": 5, "ceiling": 1000, "start": 10}
_CONCURRENCY = 500
"""So many that no lane waits for another's calls: near its capacity a destination takes a quarter of a second."""
_SAMPLED_EVERY_S = 0.25
_SPARE = 1.2
"""Items of each lane, as a multiple of what its destination can answer: none runs dry."""
_WARM_ITEMS = 40
_PIECE = 2000
_END_S = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """The shares of each limit, as the destination noted them, and the adaptive rate over time."""

    adaptive: Told
    fixed: dict[float, Told]
    rates: list[tuple[float, float]]
    """Seconds since the first call of the adaptive lane, and items a second."""


async def follow(stand: Stand, schedule: Schedule, fixed: Sequence[float]) -> Run:
    """Run the schedule once. Each lane is a destination for itself, with a batch of its own."""
    rates = {_lane(rate): {"per_second": rate} for rate in fixed} | {_WARM: {"per_second": 20}}
    calling = {"adaptive": BOUNDS, "rates": rates, "concurrency": _CONCURRENCY}
    items = round(_SPARE * sum(seconds * capacity for seconds, capacity in schedule))
    stated = [f"{seconds:g}:{capacity:g}" for seconds, capacity in schedule]
    async with (
        running_destination(*stated) as destination,
        running_cluster(stand, {"CALLING": json.dumps(calling)}) as cluster,
    ):
        await cluster.finishes.of(await _submit(cluster, destination, _WARM, _WARM_ITEMS), _END_S)
        lanes = [ADAPTIVE, *map(_lane, fixed)]
        batches = await asyncio.gather(*(_submit(cluster, destination, lane, items) for lane in lanes))
        samples = await _watch(cluster, sum(seconds for seconds, _ in schedule))
        told = {lane: await destination.told(lane) for lane in lanes}
        await _cancel(cluster, batches)
    adaptive = told[ADAPTIVE]
    return Run(
        adaptive,
        {rate: told[_lane(rate)] for rate in fixed},
        [(at - adaptive.began, rate) for at, rate in samples],
    )


def _lane(rate: float) -> str:
    return f"fixed-{rate:g}"


async def _submit(cluster: Cluster, destination: Destination, lane: str, items: int) -> UUID:
    line = orjson.dumps({"url": f"{destination.url}/call/{lane}", "lane": lane}, option=orjson.OPT_APPEND_NEWLINE)

    async def lines() -> AsyncIterator[bytes]:
        for start in range(0, items, _PIECE):
            yield line * min(_PIECE, items - start)

    headers = {"Content-Type": "application/x-ndjson"}
    async with cluster.http.post("batches?workload=calling", data=lines(), headers=headers) as answer:
        answer.raise_for_status()
        return UUID((await answer.json())["batch_id"])


async def _watch(cluster: Cluster, seconds: float) -> list[tuple[float, float]]:
    """The adaptive rate, again and again, until every lane's schedule has ended."""
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

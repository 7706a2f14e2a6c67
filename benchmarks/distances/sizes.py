"""Pairs by chunks of 1, 10 and 100, and of the size that is learned: throughput, a small batch's p95, calls."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console

from batchyard_contracts.v1.values import NewItem
from benchmarks.cluster import Cluster
from benchmarks.report import number
from benchmarks.summary import Summary, percentile
from benchmarks.work import WrongResults

SMALL = 100
"""Pairs of a small batch: 25 contractors and 4 jobs."""
PLACES = 500
"""Number of contractors and of jobs of a large batch, which has a part of their pairs, job by job."""
_PIECE = 4000
_END_S = 900.0


@dataclass(frozen=True, slots=True)
class Size:
    """A size of chunks, and a number of pairs that takes some seconds with it."""

    name: str
    workload: str
    pairs: int


SIZES = (
    Size("1", "distances-1", 1_000),
    Size("10", "distances-10", 10_000),
    Size("100", "distances-100", 50_000),
    Size("adaptive", "distances", 100_000),
)
Calls = Callable[[], Awaitable[int]]


async def by_size(
    cluster: Cluster, console: Console, runs: int, small_runs: int, calls: Calls | None = None
) -> dict[str, Any]:
    """Run small batches one after the other, then large ones, by each size. `calls`: those that a provider has had."""
    found: dict[str, Any] = {}
    for size in SIZES:
        pairs = size.pairs if calls is None else size.pairs // 2
        await _end(cluster, await _small(cluster, size, 0), SMALL)
        small_ms = []
        for seed in range(1, small_runs + 1):
            began = time.perf_counter()
            await _end(cluster, await _small(cluster, size, seed), SMALL)
            small_ms.append((time.perf_counter() - began) * 1000)
        before, rates = await calls() if calls else 0, []
        for seed in range(runs):
            began = time.perf_counter()
            await _end(cluster, await upload(cluster, size.workload, pairs, seed=seed), pairs)
            rates.append(pairs / (time.perf_counter() - began))
        found[size.name] = {
            "pairs": pairs,
            "pairs_per_s": Summary.of(rates).document(),
            "small_ms": {**Summary.of(small_ms).document(), "p95": round(percentile(small_ms, 0.95), 1)},
        }
        if calls:
            found[size.name]["pairs_per_call"] = round(pairs * runs / (await calls() - before), 1)
        rate, p95 = found[size.name]["pairs_per_s"]["median"], found[size.name]["small_ms"]["p95"]
        console.print(f"Chunks of {size.name}: {number(rate)} pairs/s; {SMALL} pairs take {number(p95)} ms at p95")
    return found


async def upload(cluster: Cluster, workload: str, pairs: int, seed: int = 0) -> UUID:
    """Upload a large batch as NDJSON."""
    headers = {"Content-Type": "application/x-ndjson"}
    async with cluster.http.post(f"batches?workload={workload}", data=_ndjson(pairs, seed), headers=headers) as answer:
        answer.raise_for_status()
        return UUID((await answer.json())["batch_id"])


async def _small(cluster: Cluster, size: Size, seed: int) -> UUID:
    pairs = [NewItem(payload=pair(25 * seed + n % 25, n // 25)) for n in range(SMALL)]
    return (await cluster.client.submit(size.workload, pairs)).batch_id


async def _end(cluster: Cluster, batch_id: UUID, pairs: int) -> None:
    finish = await cluster.finishes.of(batch_id, _END_S)
    if finish.event.counts.succeeded != pairs:
        raise WrongResults(f"{pairs} pairs have to be answered, {finish.event.counts.succeeded} were.")


async def _ndjson(pairs: int, seed: int) -> AsyncIterator[bytes]:
    for start in range(0, pairs, _PIECE):
        stop = min(pairs, start + _PIECE)
        yield b"".join(
            orjson.dumps(pair(n % PLACES, seed * PLACES + n // PLACES), option=orjson.OPT_APPEND_NEWLINE)
            for n in range(start, stop)
        )


def pair(contractor: int, job: int) -> dict[str, Any]:
    """Return a pair of a contractor and a job, each at a place of its own."""
    return {
        "origin_lat": round(39.0 + contractor % 997 / 1000, 3),
        "origin_lon": round(-105.5 + contractor % 991 / 1000, 3),
        "destination_lat": round(39.0 + job % 983 / 1000, 3),
        "destination_lon": round(-105.5 + job % 977 / 1000, 3),
        "contractor": f"c{contractor}",
        "job": f"j{job}",
    }

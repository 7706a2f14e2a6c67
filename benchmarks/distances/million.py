"""A million pairs as a CSV file over HTTP, to their last result: time, processor time, memory."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console

from benchmarks.batchyard import lines
from benchmarks.cluster import Cluster
from benchmarks.costs import costs
from benchmarks.distances.sizes import PLACES, pair
from benchmarks.processes import Usage, forget_peaks, peak_mb
from benchmarks.report import number
from benchmarks.work import MILLION, Run, WrongResults

PAIRS = MILLION.items
_PIECE = 4000
_END_S = 1800.0


async def million(cluster: Cluster, console: Console) -> dict[str, Any]:
    """Upload, wait for the end, read every result."""
    forget_peaks(cluster.services)
    usage = Usage(cluster.everything)
    began = time.perf_counter()
    headers = {"Content-Type": "text/csv"}
    async with cluster.http.post("batches?workload=distances", data=_csv(), headers=headers) as answer:
        answer.raise_for_status()
        batch_id = UUID((await answer.json())["batch_id"])
    accepted_s = time.perf_counter() - began
    finish = await cluster.finishes.of(batch_id, _END_S)
    ended_s = finish.received_at - began
    cpu_s, others = usage.cpu_s(), usage.others_share()
    memory_mb = peak_mb(cluster.services)
    summary = finish.event.summary
    added_up = isinstance(summary, dict) and summary.get("pairs") == PAIRS
    if finish.event.counts.succeeded != PAIRS or not added_up:
        raise WrongResults(f"{PAIRS} pairs have to be answered and added up: {finish.event.counts}, {summary}")
    reading = time.perf_counter()
    await _check(cluster, batch_id)
    read_s = time.perf_counter() - reading
    run = Run(ended_s, PAIRS, 0, accepted_s, cpu_s, memory_mb, others)
    console.print(f"A million pairs: {number(PAIRS / ended_s)} pairs/s, {number(sum(memory_mb.values()))} MB")
    return {
        "accepted_s": round(accepted_s, 1),
        "ended_s": round(ended_s, 1),
        "read_s": round(read_s, 1),
        "pairs_per_s": round(PAIRS / ended_s),
        "cpu_us_per_pair": costs(MILLION, [run]),
        "resident_mb": {role: round(mb) for role, mb in memory_mb.items()},
        "others_share": {"max": others},
    }


async def _check(cluster: Cluster, batch_id: UUID) -> None:
    """Check that each pair has its own result, once."""
    seen = bytearray(PAIRS)
    async with cluster.http.get(f"batches/{batch_id}/results?format=ndjson") as answer:
        answer.raise_for_status()
        async for line in lines(answer.content.iter_any()):
            outcome = orjson.loads(line)
            ordinal, result = outcome["ordinal"], outcome["result"]
            asked = _pair(ordinal)
            if (result["contractor"], result["job"]) != (asked["contractor"], asked["job"]) or result["metres"] is None:
                raise WrongResults(f"Pair {ordinal} has another's result: {result}")
            seen[ordinal] = 1
    if (count := seen.count(1)) != PAIRS:
        raise WrongResults(f"{count} of {PAIRS} pairs have a result.")


async def _csv() -> AsyncIterator[bytes]:
    yield (",".join(_pair(0)) + "\n").encode()
    for start in range(0, PAIRS, _PIECE):
        rows = (",".join(map(str, _pair(n).values())) for n in range(start, min(PAIRS, start + _PIECE)))
        yield ("\n".join(rows) + "\n").encode()


def _pair(ordinal: int) -> dict[str, Any]:
    return pair(ordinal % PLACES, ordinal // PLACES)

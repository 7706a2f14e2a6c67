"""Runs the common work on Batchyard: NDJSON to the HTTP API, the finished event, and every outcome read."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import orjson

from benchmarks.cluster import Cluster
from benchmarks.processes import Usage, forget_peaks, peak_mb
from benchmarks.work import NAP_S, Run, Work, WrongResults

_PIECE = 4000
_END_S = 900.0
_AT_ONCE = 50


async def run(cluster: Cluster, work: Work) -> Run:
    """Run one batch, timed from the first byte of the upload to the finished event; then read all results."""
    forget_peaks(cluster.services)
    usage = Usage(cluster.everything)
    began = time.perf_counter()
    batch_id = await submit(cluster, work)
    submitted = time.perf_counter()
    finish = await cluster.finishes.of(batch_id, _END_S)
    cpu_s, others = usage.cpu_s(), usage.others_share()
    count, total = await _read(cluster, batch_id, work.items)
    return Run(finish.received_at - began, count, total, submitted - began, cpu_s, peak_mb(cluster.services), others)


async def run_side_by_side(cluster: Cluster, work: Work) -> Run:
    """Run many small batches, each a request over HTTP, 50 requests at a time, until all have ended; then read all."""
    turns = asyncio.Semaphore(_AT_ONCE)
    body = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(work.items)]}

    async def submit_one() -> UUID:
        async with turns, cluster.http.post("batches", json=body) as answer:
            answer.raise_for_status()
            return UUID((await answer.json())["batch_id"])

    async def read_one(batch_id: UUID) -> tuple[int, int]:
        async with turns:
            return await _read(cluster, batch_id, work.items)

    usage = Usage(cluster.everything)
    began = time.perf_counter()
    ids = await asyncio.gather(*(submit_one() for _ in range(work.batches)))
    submitted = time.perf_counter()
    finishes = [await cluster.finishes.of(batch_id, _END_S) for batch_id in ids]
    cpu_s, others = usage.cpu_s(), usage.others_share()
    seconds = max(finish.received_at for finish in finishes) - began
    read = await asyncio.gather(*map(read_one, ids))
    count, total = (sum(each) for each in zip(*read, strict=True))
    return Run(seconds, count, total, submitted - began, cpu_s, peak_mb(cluster.services), others)


async def run_unread(cluster: Cluster, work: Work) -> None:
    """Run one batch without reading its results."""
    finish = await cluster.finishes.of(await submit(cluster, work), _END_S)
    if finish.event.counts.succeeded != work.items:
        raise WrongResults(f"{work.items} items have to succeed, {finish.event.counts.succeeded} did.")


async def submit(cluster: Cluster, work: Work) -> UUID:
    """Upload a batch."""
    headers = {"Content-Type": "application/x-ndjson"}
    async with cluster.http.post("batches?workload=noop", data=_ndjson(work), headers=headers) as answer:
        answer.raise_for_status()
        return UUID((await answer.json())["batch_id"])


async def run_one(cluster: Cluster, n: int) -> float:
    """Run a batch of one item by AMQP, as a program would; return the seconds to its finished event."""
    began = time.perf_counter()
    accepted = await cluster.client.submit("noop", [{"n": n}])
    finish = await cluster.finishes.of(accepted.batch_id, _END_S)
    if finish.event.result != "completed":
        raise ValueError(f"An item that has to succeed ended as {finish.event.result}.")
    return finish.received_at - began


async def _ndjson(work: Work) -> AsyncIterator[bytes]:
    nap = {"sleep_s": NAP_S} if work.kind == "nap" else {}
    for start in range(0, work.items, _PIECE):
        stop = min(work.items, start + _PIECE)
        yield b"".join(orjson.dumps({"n": n, **nap}, option=orjson.OPT_APPEND_NEWLINE) for n in range(start, stop))


async def _read(cluster: Cluster, batch_id: UUID, items: int) -> tuple[int, int]:
    """Return the count of the successes, each counted once, and their sum. Nothing is kept: a million are many."""
    seen, total = bytearray(items), 0
    async with cluster.http.get(f"batches/{batch_id}/results?format=ndjson&status=succeeded") as answer:
        answer.raise_for_status()
        async for line in lines(answer.content.iter_any()):
            outcome = orjson.loads(line)
            total += 0 if seen[outcome["ordinal"]] else outcome["result"]["n"]
            seen[outcome["ordinal"]] = 1
    return seen.count(1), total


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a body that arrives in pieces of any size."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest

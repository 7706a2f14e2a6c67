"""Duration of a batch of ten immediate items that is submitted while a million others run."""

import asyncio
import time
from uuid import UUID

from benchmarks import batchyard
from benchmarks.cluster import Cluster
from benchmarks.work import MILLION, WrongResults

ITEMS = 10
_PAUSE_S = 0.2
_END_S = 900.0


async def urgent(cluster: Cluster) -> list[float]:
    """Milliseconds from submitting each to its finished event; as many as the million leaves time for."""
    million = await batchyard.submit(cluster, MILLION)
    running = asyncio.create_task(cluster.finishes.of(million, _END_S))
    taken: list[float] = []
    try:
        await _until_it_runs(cluster, million)
        while not running.done():
            seconds = await _one(cluster)
            if not running.done():  # else it had the cluster for itself for a while
                taken.append(seconds * 1000)
            await asyncio.wait((running,), timeout=_PAUSE_S)
        finish = await running
    finally:
        running.cancel()
    if finish.event.counts.succeeded != MILLION.items:
        raise WrongResults(f"{MILLION.items} items have to succeed, {finish.event.counts.succeeded} did.")
    return taken


async def _one(cluster: Cluster) -> float:
    began = time.perf_counter()
    accepted = await cluster.client.submit("noop", [{"n": n} for n in range(ITEMS)], priority="immediate")
    finish = await cluster.finishes.of(accepted.batch_id, _END_S)
    if finish.event.counts.succeeded != ITEMS:
        raise WrongResults(f"{ITEMS} immediate items have to succeed, {finish.event.counts.succeeded} did.")
    return finish.received_at - began


async def _until_it_runs(cluster: Cluster, batch_id: UUID) -> None:
    while True:
        async with cluster.http.get(f"batches/{batch_id}") as answer:
            answer.raise_for_status()
            if (await answer.json())["counts"].get("succeeded", 0):
                return
        await asyncio.sleep(0.02)  # users watch by HTTP too

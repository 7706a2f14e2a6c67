"""Latency from the end of an item to the WebSocket frame that counts it."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiohttp

from batchyard_contracts.ids import new_batch_id
from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary

ITEMS = 20
_OVER_S = 3.0
"""Seconds within which the items of a batch end at random moments, so that some end close together."""
_SETTLE_S = 0.4
_TARGET, _TARGET_OF_MANY = Target("p99", 40), Target("p99", 100)
MANY, WATCHERS = 100, 2
"""Batches side by side, and the watchers of each."""
_NAPS_OF_MANY_S = (0.05, 0.5)
_ENDED = ("succeeded", "failed", "cancelled", "expired", "duplicate")
Seen = tuple[float, int]
"""Arrival of a frame, and the number of ended items that it counts."""


async def measure_progress(cluster: Cluster, batches: int) -> Figure:
    """Watch one batch at a time in a cluster that does nothing else."""
    rng = random.Random(1)
    taken: list[float] = []
    for _ in range(batches):
        naps = [_SETTLE_S + rng.random() * _OVER_S for _ in range(ITEMS)]
        taken += [delay * 1000 for delay in await _watched(cluster, cluster.http, naps)]
    title = "an item's end to the WebSocket frame that counts it"
    return Figure("progress_to_websocket", title, "ms", Summary.of(taken), _TARGET)


async def measure_progress_of_many(cluster: Cluster) -> Figure:
    """Watch many batches at once, each by several watchers."""
    rng = random.Random(2)
    naps = [[rng.uniform(*_NAPS_OF_MANY_S) for _ in range(ITEMS)] for _ in range(MANY)]
    async with aiohttp.ClientSession(cluster.url, connector=aiohttp.TCPConnector(limit=0)) as http:
        found = await asyncio.gather(*(_watched(cluster, http, one, WATCHERS) for one in naps))
    taken = [delay * 1000 for one in found for delay in one]
    title = f"the same with {MANY} batches and {MANY * WATCHERS} watchers"
    return Figure("progress_of_many", title, "ms", Summary.of(taken), _TARGET_OF_MANY)


def delays(ends: Sequence[float], seen: Sequence[Seen]) -> list[float]:
    """For each item, in the order of their ends, the time to the first frame that counts so many of them.

    Raises `ValueError` when a frame counts items that have not ended, or none counts them all.
    """
    found = []
    for count, ended_at in enumerate(sorted(ends), 1):
        at = next((at for at, counted in seen if counted >= count), None)
        if at is None:
            raise ValueError(f"No frame counts {count} items.")
        if at < ended_at:
            raise ValueError(f"A frame counted {count} items {ended_at - at:.3f} s before they had ended.")
        found.append(at - ended_at)
    return found


async def _watched(
    cluster: Cluster, http: aiohttp.ClientSession, naps: Sequence[float], watchers: int = 1
) -> list[float]:
    """Return the delays that each watcher of a batch has seen."""
    batch_id = new_batch_id()
    await cluster.client.submit("stamped", [{"sleep_s": nap} for nap in naps], batch_id=batch_id)
    seen = await asyncio.gather(*(_frames(http, batch_id) for _ in range(watchers)))
    ends = [result.result["ended_at"] async for result in cluster.client.results(batch_id)]
    return [delay for one in seen for delay in delays(ends, one)]


async def _frames(http: aiohttp.ClientSession, batch_id: UUID) -> list[Seen]:
    seen: list[Seen] = []
    async with asyncio.timeout(60), http.ws_connect(f"batches/{batch_id}/progress") as socket:
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                break
            at = time.time()
            seen.append((at, _counted(frame.json())))
    return seen


def _counted(frame: dict[str, Any]) -> int:
    return sum(frame["counts"].get(status, 0) for status in _ENDED)

"""Latency from the end of an item to the WebSocket frame that counts it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import aiohttp

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.commands import BatchAppend, BatchSeal, BatchSubmit
from batchyard_contracts.v1.values import NewItem
from benchmarks.cluster import Cluster
from benchmarks.figure import Figure, Target
from benchmarks.summary import Summary

ITEMS = 20
_OVER_S = 3.0
"""Seconds within which the items of a batch end at random moments, so that some end close together."""
_TARGET, _TARGET_OF_MANY = Target("p99", 40), Target("p99", 100)
MANY, WATCHERS = 100, 2
"""Batches side by side, and the watchers of each."""
_NAPS_OF_MANY_S = (0.05, 0.5)
_END_S = 120.0
_ENDED = ("succeeded", "failed", "cancelled", "expired", "duplicate")
Seen = tuple[float, int]
"""Arrival of a frame, and the number of ended items that it counts."""


async def measure_progress(cluster: Cluster, batches: int) -> Figure:
    """Watch one batch at a time in a cluster that does nothing else."""
    rng = random.Random(1)
    taken: list[float] = []
    for _ in range(batches):
        naps = [rng.random() * _OVER_S for _ in range(ITEMS)]
        taken += [delay * 1000 for delay in await _watched(cluster, cluster.http, naps)]
    title = "an item's end to the WebSocket frame that counts it"
    return Figure("progress_to_websocket", title, "ms", Summary.of(taken), _TARGET)


async def measure_progress_of_many(cluster: Cluster) -> Figure:
    """Watch many batches at once, each by several watchers."""
    rng = random.Random(2)
    naps = [[rng.uniform(*_NAPS_OF_MANY_S) for _ in range(ITEMS)] for _ in range(MANY)]
    all_there = asyncio.Barrier(MANY)
    async with aiohttp.ClientSession(cluster.url, connector=aiohttp.TCPConnector(limit=0)) as http:
        found = await asyncio.gather(*(_watched(cluster, http, one, WATCHERS, all_there) for one in naps))
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
    cluster: Cluster,
    http: aiohttp.ClientSession,
    naps: Sequence[float],
    watchers: int = 1,
    all_there: asyncio.Barrier | None = None,
) -> list[float]:
    """Return the delays that each watcher of a batch has seen. The items are added when all watchers are there."""
    batch_id, client = new_batch_id(), cluster.client
    await client.send(BatchSubmit(workload="stamped", batch_id=batch_id, sealed=False))
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(_socket(http, batch_id)) for _ in range(watchers)]
        if all_there is not None:
            await all_there.wait()
        items = [NewItem(payload={"sleep_s": nap}) for nap in naps]
        seen = asyncio.gather(*(_frames(socket) for socket in sockets))
        await client.send(BatchAppend(batch_id=batch_id, sequence=0, items=items))
        await client.send(BatchSeal(batch_id=batch_id))
        async with asyncio.timeout(_END_S):
            frames = await seen
    ends = [result.result["ended_at"] async for result in client.results(batch_id)]
    return [delay for one in frames for delay in delays(ends, one)]


@asynccontextmanager
async def _socket(http: aiohttp.ClientSession, batch_id: UUID) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Watch a batch, of which the first frame tells the present state."""
    async with asyncio.timeout(_END_S), http.ws_connect(f"batches/{batch_id}/progress") as socket:
        await socket.receive_json()
        yield socket


async def _frames(socket: aiohttp.ClientWebSocketResponse) -> list[Seen]:
    return [(time.time(), _counted(frame.json())) async for frame in socket if frame.type is aiohttp.WSMsgType.TEXT]


def _counted(frame: dict[str, Any]) -> int:
    return sum(frame["counts"].get(status, 0) for status in _ENDED)

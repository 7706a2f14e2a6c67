"""Share of a small owner beside one of equal weight with a hundred times the work."""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from benchmarks.batchyard import lines
from benchmarks.cluster import Cluster
from benchmarks.work import WrongResults

BIG, SMALL = "big", "small"
BACKLOG = {BIG: 100_000, SMALL: 1_000}
TOKENS = {BIG: "benchmark-big-owner", SMALL: "benchmark-small-owner"}
NAP_S = 0.02
"""Duration of each item: trivial items travel in chunks of hundreds; two chunks of the small owner would say little."""
_NDJSON = {"Content-Type": "application/x-ndjson"}
_PIECE = 4000
_END_S = 900.0


@dataclass(frozen=True, slots=True)
class Shared:
    """The result of the small owner."""

    share: float
    """Share of the small owner among the items that ended from its first to its last: a half is fair."""
    first_s: float
    """From its acceptance to the end of its first item: what was on its way before comes first."""
    last_s: float
    """From its acceptance to the end of its last item."""


async def share_of_the_small(cluster: Cluster) -> Shared:
    """One trial: the big owner's batch runs when the small one's arrives, and is cancelled when that has ended."""
    big = await _submit(cluster, BIG)
    await _until_some_ended(cluster, big)
    small = await _submit(cluster, SMALL)
    accepted_at = time.time()
    await cluster.finishes.of(small, _END_S)
    async with cluster.http.post(f"batches/{big}/cancel", headers=headers(BIG)) as answer:
        answer.raise_for_status()
    finish = await cluster.finishes.of(big, _END_S)
    ends = {owner: await _ends(cluster, owner, batch) for owner, batch in ((SMALL, small), (BIG, big))}
    if (len(ends[SMALL]), len(ends[BIG])) != (BACKLOG[SMALL], finish.event.counts.succeeded):
        raise WrongResults(
            f"Of {BACKLOG[SMALL]} items and {finish.event.counts.succeeded} there are "
            f"{len(ends[SMALL])} and {len(ends[BIG])} results."
        )
    return shared(accepted_at, ends[SMALL], ends[BIG])


def shared(accepted_at: float, small: Sequence[float], big: Sequence[float]) -> Shared:
    """Return the result, computed from the times at which the items of both ended."""
    first, last, others = min(small), max(small), sorted(big)
    meanwhile = bisect_right(others, last) - bisect_left(others, first)
    return Shared(len(small) / (len(small) + meanwhile), first - accepted_at, last - accepted_at)


def headers(owner: str) -> dict[str, str]:
    """Headers that make a request this owner's."""
    return {"Authorization": f"Bearer {TOKENS[owner]}"}


async def _submit(cluster: Cluster, owner: str) -> UUID:
    async with cluster.http.post(
        "batches?workload=stamped", data=_items(BACKLOG[owner]), headers=headers(owner) | _NDJSON
    ) as answer:
        answer.raise_for_status()
        return UUID((await answer.json())["batch_id"])


async def _items(count: int) -> AsyncIterator[bytes]:
    for start in range(0, count, _PIECE):
        yield b'{"sleep_s":%g}\n' % NAP_S * min(_PIECE, count - start)


async def _until_some_ended(cluster: Cluster, batch: UUID) -> None:
    while True:
        async with cluster.http.get(f"batches/{batch}", headers=headers(BIG)) as answer:
            answer.raise_for_status()
            if (await answer.json())["counts"].get("succeeded", 0):
                return
        await asyncio.sleep(0.02)  # HTTP has no way to be told


async def _ends(cluster: Cluster, owner: str, batch: UUID) -> list[float]:
    url = f"batches/{batch}/results?format=ndjson&status=succeeded"
    async with cluster.http.get(url, headers=headers(owner)) as answer:
        answer.raise_for_status()
        return [orjson.loads(line)["result"]["ended_at"] async for line in lines(answer.content.iter_any())]

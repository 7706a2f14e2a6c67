"""Scores the forecasts that real services make of real batches, by the metrics in which the dispatcher counts them."""

import asyncio
import random
import re
from collections import Counter
from typing import Any

import aiohttp

from batchyard_contracts.ids import new_batch_id
from benchmarks.cluster import Cluster

BATCHES, SIDE_BY_SIDE = 20, 3
WARM_UP = 10
"""Batches that come before, from which the services learn."""
_ITEMS, _MEAN_S = (300, 1500), 0.5
_TIMEOUT_S = 600.0
_SAMPLE = re.compile(r"^batchyard_forecast_(ends|loss)[a-z_]*\{(.*)\} ([0-9.e+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


async def score_real(cluster: Cluster, metrics_url: str) -> dict[str, Any]:
    """Run batches of naps, some of them side by side, and return the score of the forecasts of all but the first."""
    rng = random.Random(1)
    await _run(cluster, rng, WARM_UP)
    before = await _counted(cluster.http, metrics_url)
    await _run(cluster, rng, BATCHES)
    return score_of(await _counted(cluster.http, metrics_url) - before)


def score_of(counted: "Counter[tuple[str, str]]") -> dict[str, Any]:
    """Return the shares of the ends, and how much less than the linear guess the forecasts lose."""
    ends = {place: counted["ends", place] for place in ("before_p10", "inside", "after_p90")}
    forecasts = sum(ends.values())
    lost, linear = counted["loss", "interval"], counted["loss", "linear"]
    return {
        "forecasts": int(forecasts),
        "under_p90": round((forecasts - ends["after_p90"]) / max(1, forecasts), 3),
        "inside": round(ends["inside"] / max(1, forecasts), 3),
        "gain": round(1 - lost / linear, 3) if linear else None,
    }


def counted_in(text: str) -> "Counter[tuple[str, str]]":
    """Return what the metrics of a dispatcher count of its forecasts, over all workloads and stages."""
    found: Counter[tuple[str, str]] = Counter()
    for name, labels, value in _SAMPLE.findall(text):
        named = dict(_LABEL.findall(labels))
        if kind := named.get("place") or named.get("guess"):
            found[name, kind] += float(value)  # type: ignore[assignment]
    return found


async def _counted(http: aiohttp.ClientSession, url: str) -> "Counter[tuple[str, str]]":
    async with http.get(url) as answer:
        return counted_in(await answer.text())


async def _run(cluster: Cluster, rng: random.Random, batches: int) -> None:
    places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(naps: list[float]) -> None:
        async with places:
            batch_id = new_batch_id()
            await cluster.client.submit("stamped", [{"sleep_s": nap} for nap in naps], batch_id=batch_id)
            await cluster.finishes.of(batch_id, _TIMEOUT_S)

    works = [[min(30.0, rng.expovariate(1 / _MEAN_S)) for _ in range(rng.randint(*_ITEMS))] for _ in range(batches)]
    await asyncio.gather(*map(one, works))

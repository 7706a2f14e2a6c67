"""Clients that submit small batches all the time, at all doors of a cluster in turn, and note every answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import aiohttp
import orjson

from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S

ITEMS = 3
_BODY = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(ITEMS)]}
_PACE_S = 0.1
"""Pause of a client between two requests, in seconds."""


class SubmittingClients:
    """Answers that the clients have had so far."""

    def __init__(self, urls: tuple[str, ...], token: str | None = None) -> None:
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._urls = [f"{url}/api/v1/batches" for url in urls]
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        """Requests without an answer, by their errors."""
        self.accepted: list[str] = []
        """Ids of accepted batches."""

    async def submit(self, http: aiohttp.ClientSession, url: str) -> str | None:
        """Submit a batch; returns its id if it was accepted."""
        try:
            async with http.post(url, json=_BODY) as response:
                content = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures[repr(error)] += 1
            return None
        self.statuses[response.status] += 1
        if response.status != 202:
            return None
        batch_id: str = content["batch_id"]
        self.accepted.append(batch_id)
        return batch_id

    async def finish_one(self) -> None:
        """Submit batches at the first door until one is accepted, and wait until it has succeeded."""
        url = self._urls[0]
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(headers=self._headers) as http:
            while (batch_id := await self.submit(http, url)) is None:  # noqa: ASYNC110  HTTP has no event
                await asyncio.sleep(_PACE_S)
            await _until(lambda: _has_succeeded(http, f"{url}/{batch_id}"))

    async def all_succeed(self) -> None:
        """Wait until every accepted batch has succeeded."""
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession(headers=self._headers) as http:
            for batch_id in self.accepted:
                url = f"{self._urls[0]}/{batch_id}"
                await _until(lambda url=url: _has_succeeded(http, url))  # type: ignore[misc]

    async def run(self, first_door: int) -> None:
        """Submit until cancelled."""
        doors = cycle([*self._urls[first_door:], *self._urls[:first_door]])
        async with aiohttp.ClientSession(headers=self._headers) as http:
            while True:
                await self.submit(http, next(doors))
                await asyncio.sleep(_PACE_S)


@asynccontextmanager
async def submitting_clients(cluster: Cluster, count: int = 4) -> AsyncIterator[SubmittingClients]:
    """Run clients, from the moment on at which all have had an answer."""
    clients = SubmittingClients(cluster.urls)
    tasks = [asyncio.create_task(clients.run(number % len(cluster.urls))) for number in range(count)]
    try:
        await clients.finish_one()
        yield clients
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _has_succeeded(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(url) as response:
        if response.status != 200:
            return False
        state: dict[str, Any] = orjson.loads(await response.read())
    return (state["status"], state["counts"]["succeeded"]) == ("finished", ITEMS)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110  HTTP has no event
        await asyncio.sleep(_PACE_S)

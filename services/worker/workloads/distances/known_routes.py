"""Caches a provider's ways in Redis: many in one round trip, by their rounded ends and their mode."""

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any

from services.worker.workloads.distances.places import UNREACHABLE, Leg, Route
from shared.redis.client import RedisClient
from shared.redis.keys import OF_WORKLOADS

_NONE = b"-"


class KnownRoutes:
    """Cache of ways in Redis for `ttl_s` seconds; with 0, or while Redis is unavailable, it is empty."""

    def __init__(self, memory: RedisClient, provider: str, source: str, decimals: int, ttl_s: int) -> None:
        """`source`: text that differs where other ways may be found, such as the address of the server."""
        self._memory = memory
        where = hashlib.sha256(source.encode()).hexdigest()[:12]
        slot = OF_WORKLOADS + "{distances}"  # by the part in braces all keys share a slot of a Redis cluster
        self._space = f"{slot}:{provider}:{where}:{decimals}"
        self._ttl_s = ttl_s

    async def find(self, legs: Sequence[Leg]) -> dict[Leg, Route]:
        """Return the cached ways."""
        if not self._ttl_s or not legs:
            return {}
        asking: Awaitable[list[Any]] = self._memory.client.mget([self._key(leg) for leg in legs])
        found = await self._memory.attempt(asking, [])
        return {leg: way for leg, value in zip(legs, found, strict=False) if (way := _read(value))}

    async def keep(self, ways: dict[Leg, Route]) -> None:
        """Store ways."""
        if not self._ttl_s or not ways:
            return
        pipeline = self._memory.client.pipeline(transaction=False)
        for leg, way in ways.items():
            value = (
                b"%d %d" % (way.metres, way.seconds) if way.metres is not None and way.seconds is not None else _NONE
            )
            pipeline.set(self._key(leg), value, ex=self._ttl_s)
        await self._memory.attempt(pipeline.execute(), None)

    def _key(self, leg: Leg) -> str:
        (lat, lon), (to_lat, to_lon), mode = leg
        return f"{self._space}:{mode}:{lat},{lon}:{to_lat},{to_lon}"


def _read(value: bytes | None) -> Route | None:
    if value is None:
        return None
    if value == _NONE:
        return UNREACHABLE
    metres, _, seconds = value.partition(b" ")
    return Route(int(metres), int(seconds))

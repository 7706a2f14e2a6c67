"""Lets the processes of ingest keep limits together: each tells the others its use once a second, by Redis.

A limit may be exceeded by what other processes permit within that second. Without Redis each counts for itself.
"""

import uuid
from collections.abc import Sequence
from typing import ClassVar, cast

import msgspec

from services.ingest.limits.limit_keeper import LimitKeeper, Use
from shared.redis.client import RedisClient
from shared.redis.keys import LIMITS

_SLOT = LIMITS + "{processes}"
"""Key of the set of processes, with which their own keys begin. In braces: they share a slot of a Redis cluster."""
_LASTS_S = 5
"""Seconds after which the use of a process that says no more is forgotten."""
_SET_LASTS_S = 3600


class SharedUse:
    """Exchange of one process with the others."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(self, redis: RedisClient, keeper: LimitKeeper) -> None:
        self._redis, self._keeper = redis, keeper
        self._process = uuid.uuid4().hex

    async def exchange(self) -> None:
        """Tell the use in this process, and read that in others."""
        client = self._redis.client
        pipeline = client.pipeline(transaction=False)
        pipeline.set(_key(self._process), msgspec.json.encode(self._keeper.own_use()), ex=_LASTS_S)
        pipeline.sadd(_SLOT, self._process)
        pipeline.expire(_SLOT, _SET_LASTS_S)
        pipeline.smembers(_SLOT)
        answers = await self._redis.attempt(pipeline.execute(), None)
        if answers is None:
            self._keeper.set_use_elsewhere([])
            return
        others = sorted(name.decode() for name in answers[-1] if name.decode() != self._process)
        self._keeper.set_use_elsewhere(await self._read(others) if others else [])

    async def leave(self) -> None:
        """Have the use in this process forgotten, at its end."""
        await self._redis.attempt(self._redis.client.unlink(_key(self._process)), None)

    async def _read(self, processes: Sequence[str]) -> list[Use]:
        asking = self._redis.client.mget([_key(process) for process in processes])
        found = cast("list[bytes | None]", await self._redis.attempt(asking, [None] * len(processes)))
        if gone := [process for process, body in zip(processes, found, strict=True) if body is None]:
            await self._redis.attempt(self._redis.client.srem(_SLOT, *gone), None)  # one that lives comes back
        return [use for body in found if body is not None and (use := _decoded(body))]


def _key(process: str) -> str:
    return f"{_SLOT}:{process}"


def _decoded(body: bytes) -> Use | None:
    try:
        return msgspec.json.decode(body, type=Use)
    except msgspec.MsgspecError:  # of a version that says it otherwise
        return None

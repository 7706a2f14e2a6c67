"""Remembers results in Redis for as long as their workload's manifest says. Without Redis, everything runs."""

import hashlib
import json
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from pydantic_core import from_json, to_json

from batchyard_contracts.v1.manifest import Manifest
from shared.redis import Memory


class ResultCache:
    """Results by workload, version and payload."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def get(self, manifest: Manifest, payloads: Sequence[Any]) -> list[Any | None]:
        """The results that are known, None where one is not."""
        keys = [_key(manifest, payload) for payload in payloads]
        values: list[bytes | None] = await self._memory.attempt(
            cast("Awaitable[list[bytes | None]]", self._memory.client.mget(keys)), [None] * len(keys)
        )
        return [None if value is None else from_json(value) for value in values]

    async def put(self, manifest: Manifest, results: Sequence[tuple[Any, Any]]) -> None:
        """Remember (payload, result) pairs."""
        if not results:
            return
        pipeline = self._memory.client.pipeline(transaction=False)
        for payload, result in results:
            pipeline.set(_key(manifest, payload), to_json(result), ex=manifest.cache_ttl_s)
        await self._memory.attempt(pipeline.execute(), None)


def _key(manifest: Manifest, payload: Any) -> str:
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)  # integers of any size
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"cache:{manifest.name}:{manifest.version}:{digest}"

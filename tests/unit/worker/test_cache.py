"""Results are remembered by what the payload says, whatever numbers are in it."""

from typing import Any, cast

import pytest

from batchyard_contracts.v1.manifest import Manifest
from services.worker.cache import ResultCache
from shared.redis import Memory

MANIFEST = Manifest(name="w", version="1", item_schema={}, result_schema={}, cache_ttl_s=60)


class Store:
    """As much of Redis, and of the memory around it, as the cache uses."""

    def __init__(self) -> None:
        self.client, self.values = self, cast("dict[str, bytes]", {})

    def pipeline(self, **_: object) -> "Store":
        return self

    def set(self, key: str, value: bytes, ex: int) -> None:
        assert ex == 60
        self.values[key] = value

    async def execute(self) -> None:
        pass

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    async def attempt(self, operation: Any, _: object) -> Any:
        return await operation


@pytest.mark.parametrize("value", [1, 10**30, -(2**63) - 1, 2**64, 0.5, "ä", None, {"b": [1], "a": {}}])
async def test_what_was_put_is_found_again(value: Any) -> None:
    cache = ResultCache(cast("Memory", Store()))
    await cache.put(MANIFEST, [({"n": value}, {"result": value})])
    assert await cache.get(MANIFEST, [{"n": value}, {"n": "other"}]) == [{"result": value}, None]


async def test_the_order_of_keys_does_not_matter() -> None:
    cache = ResultCache(cast("Memory", Store()))
    await cache.put(MANIFEST, [({"a": 1, "b": 2}, "known")])
    assert await cache.get(MANIFEST, [{"b": 2, "a": 1}]) == ["known"]

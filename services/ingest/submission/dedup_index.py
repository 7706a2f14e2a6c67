"""Remembers in Redis which items a batch has seen, for batches whose items come in several pieces.

Without Redis nothing is remembered: a repeated item then runs once more, and no result is wrong.
"""

from collections.abc import Mapping
from struct import pack, unpack
from typing import cast
from uuid import UUID

from shared.redis.client import RedisClient

TTL_S = 24 * 3600
_SCRIPT = """
local found = {}
for i = 0, #ARGV[1] / 16 - 1 do
  local mark = string.sub(ARGV[1], i * 16 + 1, i * 16 + 16)
  local first = redis.call('HGET', KEYS[1], mark)
  if first then
    found[#found + 1] = mark
    found[#found + 1] = first
  elseif ARGV[3] ~= '0' then
    redis.call('HSET', KEYS[1], mark, string.sub(ARGV[2], i * 4 + 1, i * 4 + 4))
  end
end
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return found
"""
"""One string of fingerprints and one of ordinals: a page costs one short call, not a thousand arguments."""


class Dedup:
    """The fingerprints of each unfinished batch, with the ordinal of the first item that bore them."""

    def __init__(self, memory: RedisClient) -> None:
        self._memory = memory
        self._script = memory.client.register_script(_SCRIPT)

    async def lookup(self, batch_id: UUID, seen: Mapping[bytes, int]) -> dict[bytes, int]:
        """Those of the fingerprints that were met before, with the ordinal of the item that bore them first."""
        return await self._run(batch_id, seen, 0)

    async def remember(self, batch_id: UUID, seen: Mapping[bytes, int]) -> dict[bytes, int]:
        """The same; what is new is remembered from now on. Only for items that are taken, or never come again."""
        return await self._run(batch_id, seen, TTL_S)

    async def forget(self, batch_id: UUID) -> None:
        """The batch takes no more items."""
        await self._memory.attempt(self._memory.client.unlink(_key(batch_id)), 0)

    async def _run(self, batch_id: UUID, seen: Mapping[bytes, int], ttl_s: int) -> dict[bytes, int]:
        if not seen:
            return {}
        arguments: list[bytes | int] = [b"".join(seen), pack(f">{len(seen)}I", *seen.values()), ttl_s]
        found = cast("list[bytes]", await self._memory.attempt(self._script([_key(batch_id)], arguments), []))
        return {mark: unpack(">I", first)[0] for mark, first in zip(found[::2], found[1::2], strict=True)}


def _key(batch_id: UUID) -> str:
    return f"ingest:dedup:{batch_id}"

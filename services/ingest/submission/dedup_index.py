"""Index of item fingerprints in Redis, for batches whose items arrive in several parts.

Without Redis nothing is indexed: a duplicate then runs once more, and no result is wrong. The fingerprints of a batch
are spread over 4096 small hashes, which take two fifths of the memory of a large one, so that a million of them leave
room for the rates and the cached results. Redis stores a hash of up to 512 entries as a list: one of a
batch of two million items.
"""

from collections.abc import Mapping
from struct import pack, unpack
from typing import cast
from uuid import UUID

from shared.redis.client import RedisClient
from shared.redis.keys import FINGERPRINTS

TTL_S = 24 * 3600
_INDEX = """
local found, touched = {}, {}
for i = 0, #ARGV[1] / 16 - 1 do
  local fingerprint = string.sub(ARGV[1], i * 16 + 1, i * 16 + 16)
  local number = string.byte(fingerprint, 1) % 16 * 256 + string.byte(fingerprint, 2)
  local bucket = KEYS[1] .. number
  local first = redis.call('HGET', bucket, fingerprint)
  if first then
    found[#found + 1] = fingerprint
    found[#found + 1] = first
  elseif ARGV[3] ~= '0' then
    redis.call('HSET', bucket, fingerprint, string.sub(ARGV[2], i * 4 + 1, i * 4 + 4))
    touched[number] = true
  end
end
for number in pairs(touched) do
  redis.call('SETBIT', KEYS[1], number, 1)
  redis.call('EXPIRE', KEYS[1] .. number, ARGV[3])
end
if next(touched) then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return found
"""
"""Lua script that looks up, and with a TTL also adds, fingerprints. Its arguments are packed: one string of
fingerprints and one of ordinals for a page, not a thousand arguments. The key itself has a bit for each hash."""
_DELETE = """
local bits = redis.call('GET', KEYS[1])
if not bits then return end
for i = 1, #bits do
  local byte = string.byte(bits, i)
  for place = 0, 7 do
    if math.floor(byte / 2 ^ (7 - place)) % 2 == 1 then redis.call('UNLINK', KEYS[1] .. ((i - 1) * 8 + place)) end
  end
end
redis.call('UNLINK', KEYS[1])
"""


class DedupIndex:
    """Fingerprints of each unfinished batch, with the ordinal of the first item that had them."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._index = redis.client.register_script(_INDEX)
        self._delete = redis.client.register_script(_DELETE)

    async def lookup(self, batch_id: UUID, fingerprints: Mapping[bytes, int]) -> dict[bytes, int]:
        """Return the fingerprints that are indexed, with the ordinal of the first item that had them."""
        return await self._run(batch_id, fingerprints, 0)

    async def add(self, batch_id: UUID, fingerprints: Mapping[bytes, int]) -> dict[bytes, int]:
        """Index the new fingerprints, and return the known ones like `lookup`. Only for items that are accepted, or
        never sent again."""
        return await self._run(batch_id, fingerprints, TTL_S)

    async def delete(self, batch_id: UUID) -> None:
        """Delete the fingerprints of a batch that takes no more items."""
        await self._redis.attempt(self._delete([_key(batch_id)]), None)

    async def _run(self, batch_id: UUID, fingerprints: Mapping[bytes, int], ttl_s: int) -> dict[bytes, int]:
        if not fingerprints:
            return {}
        arguments: list[bytes | int] = [
            b"".join(fingerprints),
            pack(f">{len(fingerprints)}I", *fingerprints.values()),
            ttl_s,
        ]
        found = cast("list[bytes]", await self._redis.attempt(self._index([_key(batch_id)], arguments), []))
        return {fingerprint: unpack(">I", first)[0] for fingerprint, first in zip(found[::2], found[1::2], strict=True)}


def _key(batch_id: UUID) -> str:
    """Return the key of a batch, with which those of its hashes begin; they are in one slot of a cluster."""
    return f"{FINGERPRINTS}{{{batch_id}}}:"

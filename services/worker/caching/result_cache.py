"""Stores results in Redis, and claims on items, so that the same item is not computed twice at a time.

Each item has a result key, `<claimed at>:<JSON>`, and, while a worker computes it, a claim key, `<claimed
at>:<claimant>`. `claimed at` is in milliseconds of Redis' clock. A result that was claimed before its invalidation is
not used. Without Redis every item runs.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from batchyard_contracts.pointer import MISSING, CompiledPointer
from batchyard_contracts.v1.flow import CacheInvalidated
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Reuse
from batchyard_contracts.v1.work import ChunkHead
from shared.observability import metrics
from shared.redis.client import RedisClient
from shared.redis.keys import SHARED_RESULTS, shared_results_index, slot_of_workload

MAX_RESULT_BYTES = 512 * 1024
"""Size above which a result is not stored."""
_CLAIM_MARGIN_S = 30.0
"""Seconds by which a claim outlives the item timeout."""

_CLAIM = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local forgotten = tonumber(redis.call('GET', KEYS[1]) or 0)
local found = {now}
for i = 2, #KEYS, 2 do
  local who, answer = ARGV[i / 2 + 2], 0
  local known = ARGV[1] == '1' and redis.call('GET', KEYS[i])
  local began, length = 0, 0
  if known then
    local colon = string.find(known, ':', 1, true)
    began, length = tonumber(string.sub(known, 1, colon - 1)), string.len(known) - colon
  end
  if length > 0 and began > forgotten then
    answer = known
  elseif not redis.call('SET', KEYS[i + 1], now .. ':' .. who, 'NX', 'PX', ARGV[2]) then
    local flight = redis.call('GET', KEYS[i + 1])
    local colon = string.find(flight, ':', 1, true)
    if string.sub(flight, colon + 1) == who then
      redis.call('PEXPIRE', KEYS[i + 1], ARGV[2])
    else
      answer = math.max(1, now - tonumber(string.sub(flight, 1, colon - 1)))
    end
  end
  found[#found + 1] = answer
end
return found
"""

_RENEW = """
for i, key in ipairs(KEYS) do
  local flight = redis.call('GET', key)
  if flight and string.sub(flight, string.find(flight, ':', 1, true) + 1) == ARGV[i + 1] then
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
"""

_RELEASE = """
local began = tonumber(ARGV[1])
local index = #KEYS % 2 == 1 and KEYS[#KEYS]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS - 1, 2 do
  local at = 3 * (i + 1) / 2
  local who, hold, result = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  if result ~= '' then
    local known = redis.call('GET', KEYS[i])
    local since = known and tonumber(string.sub(known, 1, string.find(known, ':', 1, true) - 1)) or 0
    if since <= began then
      redis.call('SET', KEYS[i], ARGV[1] .. ':' .. result, 'EX', ARGV[2])
      if index then redis.call('ZADD', index, now + ARGV[2] * 1000, KEYS[i]) end
    end
  end
  local flight = redis.call('GET', KEYS[i + 1])
  if flight and string.sub(flight, string.find(flight, ':', 1, true) + 1) == who then
    if hold > 0 then
      redis.call('PEXPIRE', KEYS[i + 1], hold)
    else
      redis.call('DEL', KEYS[i + 1])
    end
  end
end
if index then
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  if redis.call('PTTL', index) < ARGV[2] * 1000 then redis.call('EXPIRE', index, ARGV[2]) end
end
"""

_INVALIDATE = """
local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) .. ARGV[1], 'EX', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Rules by which the results of one chunk are looked up and stored."""

    workload: str
    key_prefix: str
    """Prefix of all keys: the sharing scope, the workload and its version."""
    dedup: str | None
    ttl_s: int
    claim_ttl_ms: int
    """Lifetime of a claim in milliseconds."""
    index: str | None = None
    """Key of the index of results that one owner's batches share, by which they are found when the owner is erased."""
    read_results: bool = True
    """True when a stored result is used; False when every item is computed again."""

    def keys(self, payload: Any) -> tuple[str, str]:
        """Return the result key and the claim key of a payload."""
        key = f"{self.key_prefix}:{fingerprint(self.dedup, payload)}"
        return key, f"{key}:flight"


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A stored result of an item."""

    result: Any


@dataclass(frozen=True, slots=True)
class InFlightItem:
    """An item that another worker has been computing for `age_s` seconds."""

    age_s: float


@dataclass(frozen=True, slots=True)
class ClaimRelease:
    """The end of a claim, with the result to store."""

    payload: Any
    claimant: str
    result: bytes = b""
    """Result as JSON; empty when there is nothing to store."""
    keep_claim_s: float = 0.0
    """Seconds for which the item continues elsewhere and keeps its claim; 0 releases it."""


def cache_policy(manifest: Manifest, chunk: ChunkHead) -> CachePolicy | None:
    """Return the cache rules of a chunk; None when nothing is looked up or stored.

    The workload's own cache serves all owners; batches that attach to each other do so within one owner.
    """
    reuse, name = chunk.reuse or Reuse(), manifest.name
    claim_ttl_ms = int((manifest.item_timeout_s + _CLAIM_MARGIN_S) * 1000)
    key_prefix = _key_prefix(name, manifest.version)
    if manifest.cache_ttl_s and reuse.cache != "off":
        return CachePolicy(
            name, key_prefix, manifest.dedup, manifest.cache_ttl_s, claim_ttl_ms, read_results=reuse.cache != "refresh"
        )
    if reuse.dedup and reuse.dedup.mode == "attach":
        return CachePolicy(
            name,
            f"{SHARED_RESULTS}{chunk.owner}:{key_prefix}",
            manifest.dedup,
            reuse.dedup.ttl_s,
            claim_ttl_ms,
            shared_results_index(chunk.owner, name),
        )
    return None


_LOOKUP_RESULTS: dict[type, str] = {CachedResult: "hit", InFlightItem: "in_flight", type(None): "miss"}
_lookups = metrics.counter("batchyard.cache.lookups", "Lookups of items in the result cache, by result.")


class ResultCache:
    """Results and claims in Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._claim = redis.client.register_script(_CLAIM)
        self._renew = redis.client.register_script(_RENEW)
        self._release = redis.client.register_script(_RELEASE)
        self._invalidate = redis.client.register_script(_INVALIDATE)

    async def claim(
        self, policy: CachePolicy, items: Sequence[tuple[Any, str]]
    ) -> tuple[int, list[CachedResult | InFlightItem | None]]:
        """Claim items, given as (payload, claimant); the claimant is the same in every run of an item.

        Returns the time of the claims, for `release`, and for each item its result, who computes it, or None when it is
        claimed.
        """
        keys = [_invalidated_key(policy.workload)]
        for payload, _ in items:
            keys += policy.keys(payload)
        arguments: list[str | int] = [
            int(policy.read_results),
            policy.claim_ttl_ms,
            *(claimant for _, claimant in items),
        ]
        answer = await self._redis.attempt(self._claim(keys=keys, args=arguments), None)
        if answer is None:
            _lookups.add(len(items), {"workload": policy.workload, "result": "unavailable"})
            return 0, [None] * len(items)
        found = [_parse_entry(one) for one in answer[1:]]
        for what, number in Counter(map(type, found)).items():
            _lookups.add(number, {"workload": policy.workload, "result": _LOOKUP_RESULTS[what]})
        return int(answer[0]), found

    async def renew(self, policy: CachePolicy, items: Sequence[tuple[Any, str]]) -> None:
        """Extend claims to their full lifetime."""
        keys = [policy.keys(payload)[1] for payload, _ in items]
        arguments: list[str | int] = [policy.claim_ttl_ms, *(claimant for _, claimant in items)]
        await self._redis.attempt(self._renew(keys=keys, args=arguments), None)

    async def release(self, policy: CachePolicy, claimed_at: int, releases: Sequence[ClaimRelease]) -> None:
        """Store results and end claims. Nothing is stored for items that were claimed while Redis was unavailable."""
        if not claimed_at or not releases:
            return
        keys: list[str] = []
        arguments: list[str | int | bytes] = [claimed_at, policy.ttl_s]
        for one in releases:
            keys += policy.keys(one.payload)
            keep_claim_ms = int((one.keep_claim_s + _CLAIM_MARGIN_S) * 1000) if one.keep_claim_s else 0
            arguments += [one.claimant, keep_claim_ms, one.result if len(one.result) <= MAX_RESULT_BYTES else b""]
        if policy.index is not None:
            keys.append(policy.index)
        await self._redis.attempt(self._release(keys=keys, args=arguments), None)

    async def invalidate(self, command: CacheInvalidated) -> bool:
        """Invalidate results that were claimed before now; returns False without Redis.

        Results that batches of one owner share among themselves are kept.
        """
        key, rest = _invalidated_key(command.workload), ""
        if command.payload is not None:
            key = f"{_key_prefix(command.workload, command.version)}:{fingerprint(command.dedup, command.payload)}"
            rest = ":"
        call = self._invalidate(keys=[key], args=[rest, max(1, command.cache_ttl_s)])
        return await self._redis.attempt(call, None) is not None


def fingerprint(dedup: str | None, payload: Any) -> str:
    """Return a hash that is equal for equal items: by the workload's deduplication key, else by the whole payload."""
    value = CompiledPointer(dedup).find(payload) if dedup else payload
    canonical = json.dumps(  # integers of any size
        payload if value is MISSING else value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _key_prefix(workload: str, version: str) -> str:
    return f"{slot_of_workload(workload)}:{version}"


def _invalidated_key(workload: str) -> str:
    return f"{slot_of_workload(workload)}:forgotten"


def _parse_entry(found: bytes | int) -> CachedResult | InFlightItem | None:
    if isinstance(found, bytes):
        return CachedResult(from_json(found[found.index(b":") + 1 :]))
    return InFlightItem(found / 1000) if found else None

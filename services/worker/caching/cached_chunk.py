"""Looks up the items of one chunk in the result cache, and stores their results there."""

from collections.abc import Sequence
from functools import partial

from pydantic_core import to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching.result_cache import CachedResult, CachePolicy, ClaimRelease, ResultCache, cache_policy
from services.worker.domain.outcome import Outcome

_MIN_DELAY_S, _MAX_DELAY_S = 0.25, 15.0
_IN_FLIGHT = ItemError(
    code="in_flight", message="The same item is being worked on; its result is taken when it is there."
)


class CachedChunk:
    """Cache lookups and cache claims of one chunk."""

    def __init__(self, cache: ResultCache, chunk: ChunkReady, policy: CachePolicy) -> None:
        self._cache, self._chunk, self._policy = cache, chunk, policy
        self._claimed: dict[int, ChunkItem] = {}
        self._claimed_at = 0

    @classmethod
    def for_chunk(cls, cache: ResultCache, manifest: Manifest, chunk: ChunkReady) -> "CachedChunk | None":
        """Return the cache access of a chunk; None when nothing is looked up and nothing is stored."""
        policy = cache_policy(manifest, chunk)
        return cls(cache, chunk, policy) if policy else None

    async def claim(self) -> list[ItemOutcome]:
        """Claim all items and return the outcomes of those that are not to run now.

        An item that another worker computes is retried after half of that worker's time on it so far, between 0.25 and
        15 s.
        """
        items = [item for item in self._chunk.items if not item.source]
        self._claimed_at, entries = await self._cache.claim(
            self._policy, [(i.payload, self._claimant(i)) for i in items]
        )
        outcomes = []
        for item, one in zip(items, entries, strict=True):
            if one is None:
                self._claimed[item.ordinal] = item
                continue
            outcome = partial(ItemOutcome, ordinal=item.ordinal, custom_id=item.custom_id)
            if isinstance(one, CachedResult):
                outcomes.append(outcome(status="succeeded", result=one.result, cached=True))
            else:
                delay_s = min(max(_MIN_DELAY_S, one.age_s / 2), _MAX_DELAY_S)
                outcomes.append(outcome(status="retry", error=_IN_FLIGHT, delay_s=delay_s))
        return outcomes

    @property
    def renew_interval_s(self) -> float:
        """Seconds between two calls of `renew` while some of the chunk's items have not ended."""
        return self._policy.claim_ttl_ms / 3000

    async def renew(self) -> None:
        """Extend the claims of items that have not ended: a chunk may take longer than any of its items."""
        if self._claimed_at and self._claimed:
            await self._cache.renew(
                self._policy, [(item.payload, self._claimant(item)) for item in self._claimed.values()]
            )

    async def store(self, outcomes: Sequence[Outcome]) -> None:
        """Store successful results and release the claims of ended items. A continued item keeps its claim."""
        released = [(item, o) for o in outcomes if (item := self._claimed.pop(o.ordinal, None))]
        releases = [
            ClaimRelease(
                item.payload,
                self._claimant(item),
                to_json(o.result) if o.status == "succeeded" else b"",
                (o.delay_s or 0.0) if o.status == "continued" else 0.0,
            )
            for item, o in released
        ]
        await self._cache.release(self._policy, self._claimed_at, releases)

    def _claimant(self, item: ChunkItem) -> str:
        return f"{self._chunk.batch_id}:{item.ordinal}"

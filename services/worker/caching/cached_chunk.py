"""Which items of a chunk need no run: their results are known, or somebody is at work on them."""

from collections.abc import Sequence
from functools import partial

from pydantic_core import to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching.result_cache import CachedResult, CachePolicy, ClaimRelease, ResultCache, cache_policy
from services.worker.domain.success import Outcome

_MIN_DELAY_S, _MAX_DELAY_S = 0.25, 15.0
_IN_FLIGHT = ItemError(
    code="in_flight", message="The same item is being worked on; its result is taken when it is there."
)


class CachedChunk:
    """The results of one chunk on their way from and to the cache."""

    def __init__(self, cache: ResultCache, chunk: ChunkReady, policy: CachePolicy) -> None:
        self._cache, self._chunk, self._policy = cache, chunk, policy
        self._claimed: dict[int, ChunkItem] = {}
        self._claimed_at = 0

    @classmethod
    def for_chunk(cls, cache: ResultCache, manifest: Manifest, chunk: ChunkReady) -> "CachedChunk | None":
        """What holds for a chunk; None: every item runs, and nothing is kept."""
        policy = cache_policy(manifest, chunk)
        return cls(cache, chunk, policy) if policy else None

    async def claim(self) -> list[ItemOutcome]:
        """The outcomes of the items that are not to run now. An item that somebody else works on comes again after
        half as long as that one has been at it: soon when it is quick, seldom when it takes its time."""
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
        """So often `renew` is to be called while some of its items have not ended."""
        return self._policy.claim_ttl_ms / 3000

    async def renew(self) -> None:
        """A chunk may take longer than any of its items: others are to believe that its last ones are being made."""
        if self._claimed_at and self._claimed:
            await self._cache.renew(
                self._policy, [(item.payload, self._claimant(item)) for item in self._claimed.values()]
            )

    async def store(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what succeeded, and let others at what did not. What goes on elsewhere remains ours."""
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

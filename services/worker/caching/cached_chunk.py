"""Which items of a chunk need no run: their results are known, or somebody is at work on them."""

from collections.abc import Sequence
from functools import partial

from pydantic_core import to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching.result_cache import Known, Landing, Policy, ResultCache, policy_of
from services.worker.domain.success import Outcome

_FIRST_S, _MOST_S = 0.25, 15.0
_IN_FLIGHT = ItemError(
    code="in_flight", message="The same item is being worked on; its result is taken when it is there."
)


class Reuse:
    """The results of one chunk on their way from and to the cache."""

    def __init__(self, cache: ResultCache, chunk: ChunkReady, policy: Policy) -> None:
        self._cache, self._chunk, self._policy = cache, chunk, policy
        self._ours: dict[int, ChunkItem] = {}
        self._began = 0

    @classmethod
    def of(cls, cache: ResultCache, manifest: Manifest, chunk: ChunkReady) -> "Reuse | None":
        """What holds for a chunk; None: every item runs, and nothing is kept."""
        policy = policy_of(manifest, chunk)
        return cls(cache, chunk, policy) if policy else None

    async def answered(self) -> list[ItemOutcome]:
        """The outcomes of the items that are not to run now. An item that somebody else works on comes again after
        half as long as that one has been at it: soon when it is quick, seldom when it takes its time."""
        items = [item for item in self._chunk.items if not item.source]
        self._began, found = await self._cache.claim(self._policy, [(i.payload, self._who(i)) for i in items])
        outcomes = []
        for item, one in zip(items, found, strict=True):
            if one is None:
                self._ours[item.ordinal] = item
                continue
            outcome = partial(ItemOutcome, ordinal=item.ordinal, custom_id=item.custom_id)
            if isinstance(one, Known):
                outcomes.append(outcome(status="succeeded", result=one.result, cached=True))
            else:
                delay_s = min(max(_FIRST_S, one.age_s / 2), _MOST_S)
                outcomes.append(outcome(status="retry", error=_IN_FLIGHT, delay_s=delay_s))
        return outcomes

    @property
    def renew_every_s(self) -> float:
        """So often `renew` is to be called while some of its items have not ended."""
        return self._policy.flight_ms / 3000

    async def renew(self) -> None:
        """A chunk may take longer than any of its items: others are to believe that its last ones are being made."""
        if self._began and self._ours:
            await self._cache.renew(self._policy, [(item.payload, self._who(item)) for item in self._ours.values()])

    async def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what succeeded, and let others at what did not. What goes on elsewhere remains ours."""
        ours = [(item, o) for o in outcomes if (item := self._ours.pop(o.ordinal, None))]
        landings = [
            Landing(
                item.payload,
                self._who(item),
                to_json(o.result) if o.status == "succeeded" else b"",
                (o.delay_s or 0.0) if o.status == "continued" else 0.0,
            )
            for item, o in ours
        ]
        await self._cache.land(self._policy, self._began, landings)

    def _who(self, item: ChunkItem) -> str:
        return f"{self._chunk.batch_id}:{item.ordinal}"

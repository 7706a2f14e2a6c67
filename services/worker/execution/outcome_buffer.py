"""Collects the outcomes of a chunk's items and reports them in groups."""

import asyncio
from collections.abc import Callable, Sequence

from batchyard_contracts.partition import has_circuit
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from services.worker.caching.cached_chunk import CachedChunk
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome
from services.worker.execution.item_runner import ItemRunner

_MAX_UNCONFIRMED = 4
"""Reports of a chunk that may wait for the broker's confirm at a time."""
TakeFeedback = Callable[[bool], DestinationFeedback | None]
"""Returns the feedback for a report; the argument says whether the report will be sent."""


class OutcomeBuffer:
    """Outcomes of one chunk that are not reported yet, and the items that have none."""

    def __init__(self, runner: ItemRunner, chunk: ChunkReady, trace: str | None, *, counted: bool) -> None:
        """`counted`: the items count as unfinished items of the runner."""
        self.open_items = {item.ordinal: item for item in chunk.items}
        """Items without an outcome, by ordinal."""
        self.has_unreported = asyncio.Event()
        """Set while there are outcomes that are not reported."""
        self.busy_s = 0.0
        """Duration of all calls since the last report, in seconds."""
        self._runner, self._chunk, self._trace, self._counted = runner, chunk, trace, counted
        reused = runner.manifest.cache_ttl_s or chunk.reuse
        self._cached_chunk = CachedChunk.for_chunk(runner.cache, runner.manifest, chunk) if reused else None
        self._renewing: asyncio.Task[None] | None = None
        self._outcomes: list[Outcome] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def claim_items(self) -> list[ChunkItem]:
        """Return the items to run here; results of the others are cached, or another worker computes them."""
        if self._cached_chunk is None:
            return self._chunk.items
        for outcome in await self._cached_chunk.claim():
            self.add(outcome)
        if self.open_items:
            self._renewing = asyncio.create_task(self._renew(self._cached_chunk))
        return list(self.open_items.values())

    async def _renew(self, cached_chunk: CachedChunk) -> None:
        while True:
            await asyncio.sleep(cached_chunk.renew_interval_s)
            await cached_chunk.renew()

    def close(self) -> None:
        """Stop renewing cache claims: nothing of the chunk runs here any more."""
        if self._renewing is not None:
            self._renewing.cancel()

    def add(self, outcome: Outcome) -> None:
        """Record the outcome of an item."""
        del self.open_items[outcome.ordinal]
        if outcome.error is not None and has_circuit(self._runner.manifest, self._chunk.partition):
            outcome = domain.retry_provider_refusal(outcome)
        if not self._outcomes:
            self.has_unreported.set()
        self._outcomes.append(outcome)
        if self._counted:
            self._runner.unfinished -= 1
            self._runner.capacity_freed.set()

    async def report(self, take_feedback: TakeFeedback, *, final: bool) -> None:
        """Publish all outcomes recorded since the last report.

        Only the final report waits for the confirms of all reports; others are sent while up to three earlier ones
        are unconfirmed.
        """
        await self.wait_for_confirms(0 if final else _MAX_UNCONFIRMED - 1)
        outcomes, busy_s = self._outcomes, self.busy_s
        self._outcomes, self.busy_s = [], 0.0
        self.has_unreported.clear()
        feedback = take_feedback(final or bool(outcomes))
        if final:
            await self._send(outcomes, busy_s, feedback, final=True)
        elif outcomes:
            self._sending.add(asyncio.create_task(self._send(outcomes, busy_s, feedback, final=False)))

    async def wait_for_confirms(self, max_unconfirmed: int = 0) -> None:
        """Wait until no more than this number of reports lack the broker's confirm."""
        while len(self._sending) > max_unconfirmed:
            done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            for sending in done:
                sending.result()

    async def _send(
        self, outcomes: Sequence[Outcome], busy_s: float, feedback: DestinationFeedback | None, *, final: bool
    ) -> None:
        await self._runner.publish_report(self._chunk, outcomes, busy_s, self._trace, feedback=feedback, final=final)
        if self._cached_chunk is not None:
            await self._cached_chunk.store(outcomes)

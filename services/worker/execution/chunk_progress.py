"""What of a chunk has ended and what has not, wherever its items run; how they get a slot, and who is told."""

import asyncio
import time
from collections.abc import Sequence

from batchyard_contracts.partition import has_circuit
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload.rate_limit_headers import RemainingCalls
from services.worker.caching.cached_chunk import CachedChunk
from services.worker.domain import outcome as domain
from services.worker.domain.success import Outcome
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.start_permit import ChunkPermits
from services.worker.limits.paced_start import PacedStart
from services.worker.limits.rate_gate import WaitTooLong
from services.worker.limits.slots import Slots

_UNCONFIRMED = 4
"""Reports of a chunk that may wait for the broker's answer at a time."""


class Tally:
    """Of one chunk."""

    def __init__(
        self, runner: ItemRunner, chunk: ChunkReady, trace: str | None, slots: Slots, *, counted: bool
    ) -> None:
        """`counted`: the items are among those that the runner has in hand."""
        self.open = {item.ordinal: item for item in chunk.items}
        """Items without an outcome."""
        self.some = asyncio.Event()
        """Whether there are outcomes that are not reported."""
        self.busy_s = 0.0
        """How long calls took, since the last report."""
        self.paced = PacedStart.for_chunk(chunk, runner.rate_gates, slots)
        self._runner, self._chunk, self._trace, self._slots, self._counted = runner, chunk, trace, slots, counted
        self.at_most_once: set[int] = set()
        """Items that have begun and must not run twice."""
        self._remaining_calls: RemainingCalls | None = None
        """What the destination said last of its limits."""
        self._used_up = False
        self._permits = ChunkPermits(runner.permits, chunk) if runner.permits else None
        self._cached_chunk = CachedChunk.for_chunk(runner.cache, runner.manifest, chunk)
        self._renewing: asyncio.Task[None] | None = None
        self._outcomes: list[Outcome] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._began = time.monotonic()

    async def to_run(self) -> list[ChunkItem]:
        """The items that are to run here. Of the others the result is known, or somebody else is at work on them."""
        if self._cached_chunk is None:
            return self._chunk.items
        for outcome in await self._cached_chunk.claim():
            self.ended(outcome)
        if self.open:
            self._renewing = asyncio.create_task(self._renew(self._cached_chunk))
        return list(self.open.values())

    async def _renew(self, cached_chunk: CachedChunk) -> None:
        while True:
            await asyncio.sleep(cached_chunk.renew_interval_s)
            await cached_chunk.renew()

    def close(self) -> None:
        """Nothing of the chunk runs here any more."""
        if self._renewing is not None:
            self._renewing.cancel()

    def spared(self, item: ChunkItem) -> bool:
        """Whether it ended without a call, as its provider has just refused another for a cause that holds for all."""
        if self._paused([item]):
            return True
        refusal = self._runner.backoff.refusal_since(self._chunk.partition, self._began)
        if refusal is not None:
            self.ended(domain.skipped(item, refusal))
        return refusal is not None

    def try_acquire(self) -> bool:
        """Take a slot without waiting, if the next item may start now."""
        return self._slots.try_acquire() if self.paced is None else self.paced.try_acquire()

    async def place(self, items: Sequence[ChunkItem], soon: int = 0) -> bool:
        """Wait for a slot at a moment at which a call with these items may start; `soon` of the chunk may follow, these
        included. False if they ended instead, since that is far away."""
        if self.paced is None:
            await self._slots.acquire()
            if self._paused(items):
                self._slots.release()
                return False
            return True
        try:
            await self.paced.acquire(len(items), soon)
        except WaitTooLong as error:
            for item in items:
                self.ended(domain.held_back(item, error.delay_s))
            return False
        return True

    def _paused(self, items: Sequence[ChunkItem]) -> bool:
        """Whether items that no gate holds ended, since their destination takes nothing for now."""
        wait_s = 0.0 if self.paced else self._runner.backoff.remaining_s(self._chunk.partition)
        if wait_s <= 0:
            return False
        for item in items:
            self.ended(domain.held_back(item, wait_s))
        return True

    def on_remaining(self, left: RemainingCalls) -> None:
        """The destination said with an answer, whatever that was, how many calls more it takes. May come from a
        thread."""
        self._remaining_calls, self._used_up = left, left.calls == 0

    async def may_begin(self, items: Sequence[ChunkItem]) -> bool:
        """Whether a call with these items may be made. If it must not be repeated, the dispatcher is told before."""
        if self._runner.is_repeatable(self._chunk, items):
            return True
        ordinals = [item.ordinal for item in items]
        if self._permits is not None and not await self._permits.request(ordinals):
            return False
        self.at_most_once.update(ordinals)
        return True

    @property
    def disowned(self) -> bool:
        """Whether the chunk is another worker's by now: what did not run here is none of ours, and the end neither."""
        return self._permits is not None and self._permits.denied

    def interrupted(self, item: ChunkItem, *, cancelled: bool) -> Outcome:
        """The outcome of an item that was stopped."""
        if item.ordinal in self.at_most_once and not cancelled:
            return domain.needs_review(item, "Its worker stopped before it had ended.")
        return domain.interrupted(item, cancelled=cancelled)

    def ended(self, outcome: Outcome) -> None:
        """An item has its outcome."""
        del self.open[outcome.ordinal]
        if outcome.error is not None and has_circuit(self._runner.manifest, self._chunk.partition):
            outcome = domain.retry_provider_refusal(outcome)
        if not self._outcomes:
            self.some.set()
        self._outcomes.append(outcome)
        if self._counted:
            self._runner.unfinished -= 1
            self._runner.capacity_freed.set()

    def succeeded(self, outcome: Outcome, took_s: float) -> bool:
        """Whether a call did, so that nobody has to wait for `answered`."""
        if outcome.error is not None or self._used_up:
            return False
        if self.paced is not None:
            self.paced.record_success(took_s)
        return True

    async def answered(self, outcomes: Sequence[Outcome], took_s: float) -> None:
        """A call answered with these: tell it to whoever steers the next ones."""
        for outcome in outcomes:
            self._runner.record_refusal(self._chunk.partition, outcome)
        if self.paced is not None:
            for outcome in outcomes:
                await self.paced.record_outcome(outcome, took_s)
        else:
            asked = [o.delay_s for o in outcomes if o.delay_s and o.error is not None and o.error.scope == "provider"]
            if asked:
                self._runner.backoff.back_off(self._chunk.partition, max(asked))
        if self._used_up and self._remaining_calls:
            self._used_up = False
            if self.paced is not None:
                await self.paced.back_off(self._remaining_calls.reset_s)
            else:
                self._runner.backoff.back_off(self._chunk.partition, self._remaining_calls.reset_s)

    def unanswered(self) -> None:
        """A call was given up."""
        if self.paced is not None:
            self.paced.record_unanswered()

    async def report(self, *, final: bool) -> None:
        """Tell what has ended. Only the final report waits until the broker has all of them; others overtake their
        confirms, up to a number."""
        await self.confirmed(0 if final else _UNCONFIRMED - 1)
        outcomes, busy_s = self._outcomes, self.busy_s
        self._outcomes, self.busy_s = [], 0.0
        self.some.clear()
        felt = self.paced.take_feedback() if self.paced else None
        if self._remaining_calls is not None and (final or outcomes):
            told = {"remaining": self._remaining_calls.calls, "reset_s": self._remaining_calls.reset_s}
            felt, self._remaining_calls = (felt or DestinationFeedback()).model_copy(update=told), None
        if final:
            await self._send(outcomes, busy_s, felt, final=True)
        elif outcomes:
            self._sending.add(asyncio.create_task(self._send(outcomes, busy_s, felt, final=False)))

    async def confirmed(self, but: int = 0) -> None:
        """Wait until the broker has all reports, but so many."""
        while len(self._sending) > but:
            done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            for sending in done:
                sending.result()

    async def _send(
        self, outcomes: Sequence[Outcome], busy_s: float, felt: DestinationFeedback | None, *, final: bool
    ) -> None:
        await self._runner.publish_report(self._chunk, outcomes, busy_s, self._trace, felt=felt, final=final)
        if self._cached_chunk is not None:
            await self._cached_chunk.store(outcomes)

"""Decides when calls with the items of a chunk may start: slots, rates, backoff of destinations, start permits."""

import time
from collections.abc import Sequence

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload.rate_limit_headers import RemainingCalls
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome
from services.worker.execution.item_runner import ItemRunner
from services.worker.execution.outcome_buffer import OutcomeBuffer
from services.worker.execution.start_permit import ChunkPermits
from services.worker.limits.paced_start import PacedStart
from services.worker.limits.rate_gate import WaitTooLong
from services.worker.limits.slots import Slots


class StartGate:
    """Admission of one chunk's calls. Items that must not be called get their outcome here."""

    def __init__(self, runner: ItemRunner, chunk: ChunkReady, slots: Slots, buffer: OutcomeBuffer) -> None:
        gates, rates = runner.rate_gates, chunk.rates
        self.paced = PacedStart(gates.gate(chunk.partition, rates), slots) if gates and rates else None
        """Start times of a rate-limited chunk; None when only slots limit it."""
        self.at_most_once: set[int] = set()
        """Ordinals of items that have started and must not run twice."""
        self._runner, self._chunk, self._slots, self._buffer = runner, chunk, slots, buffer
        self._permits = ChunkPermits(runner.permits, chunk) if runner.permits else None
        self._remaining_calls: RemainingCalls | None = None
        """Last limits that the destination reported; None when they have been sent."""
        self._used_up = False
        self._created_at = time.monotonic()

    def skip(self, item: ChunkItem) -> bool:
        """End an item without a call if its destination backs off or has refused another item for all of them."""
        if not self._runner.backoff.is_used:
            return False
        if self._hold_back([item]):
            return True
        refusal = self._runner.backoff.refusal_since(self._chunk.partition, self._created_at)
        if refusal is not None:
            self._buffer.add(domain.skipped(item, refusal))
        return refusal is not None

    def try_acquire(self) -> bool:
        """Take a slot without waiting, if the next item may start now."""
        return self._slots.try_acquire() if self.paced is None else self.paced.try_acquire()

    async def acquire(self, items: Sequence[ChunkItem], upcoming: int = 0) -> bool:
        """Wait for a slot at a time at which a call with these items may start.

        Returns False if the items ended instead, because that time is far away. `upcoming`: number of the chunk's
        items that may follow, these included.
        """
        if self.paced is None:
            await self._slots.acquire()
            if self._hold_back(items):
                self._slots.release()
                return False
            return True
        try:
            await self.paced.acquire(len(items), upcoming)
        except WaitTooLong as error:
            for item in items:
                self._buffer.add(domain.held_back(item, error.delay_s))
            return False
        return True

    def _hold_back(self, items: Sequence[ChunkItem]) -> bool:
        """End items that no rate limits while their destination backs off."""
        backoff = self._runner.backoff
        if self.paced or not backoff.is_used or (wait_s := backoff.remaining_s(self._chunk.partition)) <= 0:
            return False
        for item in items:
            self._buffer.add(domain.held_back(item, wait_s))
        return True

    async def request_permit(self, items: Sequence[ChunkItem]) -> bool:
        """Return True if a call with these items may be made; calls that must not be repeated ask the dispatcher."""
        if self._runner.is_repeatable(self._chunk, items):
            return True
        ordinals = [item.ordinal for item in items]
        if self._permits is not None and not await self._permits.request(ordinals):
            return False
        self.at_most_once.update(ordinals)
        return True

    @property
    def is_lease_lost(self) -> bool:
        """True when another worker holds the chunk: its unstarted items and its final report belong to that one."""
        return self._permits is not None and self._permits.denied

    def interrupted_outcome(self, item: ChunkItem, *, cancelled: bool) -> Outcome:
        """Return the outcome of an item that was stopped."""
        if item.ordinal in self.at_most_once and not cancelled:
            return domain.needs_review(item, "Its worker stopped before it had ended.")
        return domain.interrupted(item, cancelled=cancelled)

    def record_remaining(self, remaining: RemainingCalls) -> None:
        """Record the limits that the destination reported with an answer. May be called from a thread."""
        self._remaining_calls, self._used_up = remaining, remaining.calls == 0

    def record_success(self, outcome: Outcome, took_s: float) -> bool:
        """Record a call that succeeded; False when `record_outcomes` has to be awaited for it."""
        if outcome.error is not None or self._used_up:
            return False
        if self.paced is not None:
            self.paced.record_success(took_s)
        return True

    async def record_outcomes(self, outcomes: Sequence[Outcome], took_s: float) -> None:
        """Apply the outcomes of a call to the limits of the next ones."""
        for outcome in outcomes:
            self._runner.record_refusal(self._chunk.partition, outcome)
        if self.paced is not None:
            for outcome in outcomes:
                await self.paced.record_outcome(outcome, took_s)
        else:
            delays = [o.delay_s for o in outcomes if o.delay_s and o.error is not None and o.error.scope == "provider"]
            if delays:
                self._runner.backoff.back_off(self._chunk.partition, max(delays))
        if self._used_up and self._remaining_calls:
            self._used_up = False
            if self.paced is not None:
                await self.paced.back_off(self._remaining_calls.reset_s)
            else:
                self._runner.backoff.back_off(self._chunk.partition, self._remaining_calls.reset_s)

    def record_unanswered(self) -> None:
        """Record a call that was abandoned."""
        if self.paced is not None:
            self.paced.record_unanswered()

    def take_feedback(self, will_send: bool) -> DestinationFeedback | None:
        """Return what was measured since the last report; reported limits stay until a report is sent with them."""
        feedback = self.paced.take_feedback() if self.paced else None
        if self._remaining_calls is not None and will_send:
            limits = {"remaining": self._remaining_calls.calls, "reset_s": self._remaining_calls.reset_s}
            feedback, self._remaining_calls = (feedback or DestinationFeedback()).model_copy(update=limits), None
        return feedback

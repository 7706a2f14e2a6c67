"""Starts the items of a rate-limited chunk at their reserved times, and collects feedback on the destination."""

import asyncio

from batchyard_contracts.v1.flow import DestinationFeedback
from services.worker.domain.outcome import HELD_BACK, Outcome
from services.worker.limits.rate_gate import RateGate, StartWindow
from services.worker.limits.slots import Slots
from shared.redis.rate_reservations import RESOLUTION_S

_MAX_MISSED_WINDOWS = 4
"""Number of missed start windows after which an item starts anyway: the machine is overloaded."""
RATE_LIMITED = frozenset({"rate_limited", "too_many_requests", "overloaded", "unavailable", "http_429", "http_503"})
"""Error codes by which a destination says that it gets too many calls."""
UNANSWERED = frozenset({"timeout", "unreachable", "connection_failed", "connection_lost", "http_502", "http_504"})
"""Error codes of calls that got no answer, or none in time."""


class PacedStart:
    """Start times and feedback of one chunk."""

    def __init__(self, gate: RateGate, slots: Slots) -> None:
        self._gate, self._slots = gate, slots
        self._clock = asyncio.get_running_loop().time
        self._gate_wait_s = 0.0
        """Seconds for which the gate delayed items since the chunk started; all later items wait as long."""
        self._waiting_calls, self._waiting_since = 0, 0.0
        self._wait_s_total = 0.0
        self._started_items = 0
        self._durations_s: list[float] = []
        self._answered = self._rate_limited = self._unanswered = 0

    def try_acquire(self) -> bool:
        """Take a slot if one is free and a start is reserved for now: the usual case where rates do not bind."""
        if not self._gate.is_due(self._clock()) or not self._slots.try_acquire():
            return False
        self._gate.take_reserved()
        self._started_items += 1
        self._wait_s_total += self._gate_wait_s
        return True

    async def acquire(self, items: int, upcoming: int) -> None:
        """Take a slot at a time at which a call with this number of items may start.

        `upcoming`: number of the chunk's items that may follow, these included. Raises `WaitTooLong` instead of a long
        wait.
        """
        clock, slots = self._clock, self._slots
        await slots.acquire()  # no start is reserved for an item without a slot
        slots.release()
        for attempt in range(_MAX_MISSED_WINDOWS):
            if not self._gate.items_are_quick:
                upcoming = min(upcoming, slots.max_slots - slots.busy)
            window = await self._wait_for_window(items, upcoming)
            await slots.acquire()
            if clock() <= window.latest or attempt == _MAX_MISSED_WINDOWS - 1:
                break
            slots.release()
        self._started_items += items
        self._wait_s_total += self._gate_wait_s * items

    async def _wait_for_window(self, items: int, upcoming: int) -> StartWindow:
        """Wait for the start window of a call with this number of items."""
        clock = self._clock
        if not self._waiting_calls:
            self._waiting_since = clock()
        self._waiting_calls += 1
        try:
            for taken in range(items):
                window = await self._gate.reserve(max(upcoming, items) - taken)
            if (wait := window.earliest - clock()) > 0:
                await asyncio.sleep(wait)
        finally:
            self._waiting_calls -= 1
            now = clock()
            self._gate_wait_s += now - self._waiting_since
            self._waiting_since = now
        return window

    def record_success(self, duration_s: float) -> None:
        """Record the duration of an item that succeeded."""
        self._answered += 1
        self._gate.items_are_quick = duration_s < RESOLUTION_S
        if not self._gate.items_are_quick:
            self._gate.loop_lag.watch()
            lag_s = self._gate.loop_lag.lag_within(duration_s)  # this process delayed the answer, not the destination
            if lag_s > duration_s / 2:
                return
            duration_s -= lag_s
        self._durations_s.append(duration_s)

    async def record_outcome(self, outcome: Outcome, duration_s: float) -> None:
        """Record how an item ended. If the destination asked for backoff, no worker starts calls until its end."""
        error = outcome.error
        if error is None:
            self.record_success(duration_s)
        elif error.code == HELD_BACK:
            return
        elif error.code in RATE_LIMITED or (outcome.delay_s is not None and error.scope == "provider"):
            self._rate_limited += 1
            if outcome.delay_s and not outcome.guessed:
                await self._gate.back_off(outcome.delay_s)
        elif error.code in UNANSWERED:
            self.record_unanswered()
        elif error.scope == "item":
            self._answered += 1  # its duration says little, since refusals are quick

    async def back_off(self, seconds: float) -> None:
        """Stop calls of all workers for some seconds: the destination reported that its limit is used up."""
        await self._gate.back_off(seconds)

    def record_unanswered(self) -> None:
        """Record a call that got no answer or was abandoned."""
        self._unanswered += 1

    def take_feedback(self) -> DestinationFeedback:
        """Return the feedback collected since the last call of this method."""
        times = sorted(self._durations_s)
        feedback = DestinationFeedback(
            mean_wait_ms=round(self._wait_s_total * 1000 / max(1, self._started_items), 1),
            median_ms=round(times[len(times) // 2] * 1000, 1) if times else None,
            p95_ms=round(times[len(times) * 19 // 20] * 1000, 1) if times else None,
            answered=self._answered,
            rate_limited=self._rate_limited,
            unanswered=self._unanswered,
        )
        self._durations_s, self._wait_s_total, self._started_items = [], 0.0, 0
        self._answered = self._rate_limited = self._unanswered = 0
        return feedback

"""The way of a limited chunk's items through their gate: each starts at its moment, and what it felt is told."""

import asyncio

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.work import ChunkReady
from services.worker.domain.outcome import HELD_BACK
from services.worker.domain.success import Outcome
from services.worker.limits.rate_gate import Gate, Gates, Moment
from services.worker.limits.slots import Slots
from shared.redis.rate_reservations import GRAIN_S

_TRIES = 4
"""Missed moments in a row after which an item starts all the same: this machine cannot keep time."""
REFUSED = frozenset({"rate_limited", "too_many_requests", "overloaded", "unavailable", "http_429", "http_503"})
"""Error codes by which a destination says that there are too many calls."""
BROKEN = frozenset({"timeout", "unreachable", "connection_failed", "connection_lost", "http_502", "http_504"})
"""Error codes of calls that got no answer, or none in time."""


class Passage:
    """Of one chunk."""

    def __init__(self, gate: Gate, slots: Slots) -> None:
        self._gate, self._slots = gate, slots
        self._clock = asyncio.get_running_loop().time
        self._held_s = 0.0
        """For how long items were held up by the gate, since the chunk began. All that follow wait as long."""
        self._at_gate, self._held_since = 0, 0.0
        self._waited_s = 0.0
        self._passed = 0
        self._times: list[float] = []
        self._answered = self._refused = self._broken = 0

    @classmethod
    def of(cls, chunk: ChunkReady, gates: Gates | None, slots: Slots) -> "Passage | None":
        """None for a chunk whose items may start whenever there is a slot."""
        if chunk.rates is None or gates is None:
            return None
        return cls(gates.at(chunk.partition, chunk.rates), slots)

    def at_once(self) -> bool:
        """Take a slot if there is one and an item may start at this moment, as is known here: most pass so where the
        limits do not bind."""
        if not self._gate.due(self._clock()) or not self._slots.take():
            return False
        self._gate.take()
        self._passed += 1
        self._waited_s += self._held_s
        return True

    async def enter(self, items: int, soon: int) -> None:
        """Take a slot at a moment at which a call with so many items may start; `soon` of the chunk may follow, these
        included. Raises `TooFar` instead of waiting for long."""
        clock, slots = self._clock, self._slots
        await slots.taken()  # no moment is kept for an item that has no slot yet
        slots.give()
        for tried in range(_TRIES):
            if not self._gate.quick:
                soon = min(soon, slots.most - slots.busy)
            moment = await self._moment(items, soon)
            await slots.taken()
            if clock() <= moment.last or tried == _TRIES - 1:
                break
            slots.give()
        self._passed += items
        self._waited_s += self._held_s * items

    async def _moment(self, items: int, soon: int) -> Moment:
        """Wait for the moment of a call with so many items."""
        clock = self._clock
        if not self._at_gate:
            self._held_since = clock()
        self._at_gate += 1
        try:
            for taken in range(items):
                moment = await self._gate.moment(max(soon, items) - taken)
            if (wait := moment.first - clock()) > 0:
                await asyncio.sleep(wait)
        finally:
            self._at_gate -= 1
            now = clock()
            self._held_s += now - self._held_since
            self._held_since = now
        return moment

    def answered(self, took_s: float) -> None:
        """An item succeeded."""
        self._answered += 1
        self._gate.quick = took_s < GRAIN_S
        if not self._gate.quick:
            self._gate.lateness.watch()
            late_s = self._gate.lateness.within(took_s)  # it was this process that kept the answer waiting
            if late_s > took_s / 2:
                return
            took_s -= late_s
        self._times.append(took_s)

    async def note(self, outcome: Outcome, took_s: float) -> None:
        """An item ended. If the destination asked for a pause, no worker starts anything before its end."""
        error = outcome.error
        if error is None:
            self.answered(took_s)
        elif error.code == HELD_BACK:
            return
        elif error.code in REFUSED or (outcome.delay_s is not None and error.scope == "provider"):
            self._refused += 1
            if outcome.delay_s and not outcome.guessed:
                await self._gate.park(outcome.delay_s)
        elif error.code in BROKEN:
            self.note_broken()
        elif error.scope == "item":
            self._answered += 1  # its time says little: what is refused is refused quickly

    async def park(self, seconds: float) -> None:
        """The destination takes nothing more for so long, though it has refused nothing: no worker starts anything."""
        await self._gate.park(seconds)

    def note_broken(self) -> None:
        """A call got no answer, or was given up before."""
        self._broken += 1

    def felt(self) -> DestinationFeedback:
        """What was felt since this was last asked."""
        times = sorted(self._times)
        felt = DestinationFeedback(
            mean_wait_ms=round(self._waited_s * 1000 / max(1, self._passed), 1),
            median_ms=round(times[len(times) // 2] * 1000, 1) if times else None,
            p95_ms=round(times[len(times) * 19 // 20] * 1000, 1) if times else None,
            answered=self._answered,
            rate_limited=self._refused,
            unanswered=self._broken,
        )
        self._times, self._waited_s, self._passed = [], 0.0, 0
        self._answered = self._refused = self._broken = 0
        return felt

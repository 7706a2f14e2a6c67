"""Counts the items that a rate has released. Chunks are sent early, so that workers start each item on time."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.values import Rate
from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS, clamp
from services.dispatcher.domain.rate_limiting.gcra import Gcra

AHEAD_S = 0.5
"""Seconds by which items are dispatched before their start time, since a chunk takes a moment to reach a worker."""
TOLERANCE_S = 0.025
"""Seconds after its start time within which a worker may still start an item, and that it may hold in stock."""


def paced_rate(rate: Rate) -> float:
    """Return the rate used for pacing: so low that late calls never exceed `rate` within a second."""
    return rate.per_second / (1.0 + TOLERANCE_S)


@dataclass(slots=True)
class DispatchRate:
    """The bucket of one rate. Times are seconds of the caller's clock."""

    gcra: Gcra = field(default_factory=Gcra)
    corrected_at: float = 0.0
    debt_until: float = 0.0
    """Time until which items of a faster, earlier rate may be in flight."""

    def room(self, rate: Rate, wanted: int, now: float) -> tuple[int, float]:
        """Return how many of `wanted` items may be dispatched now; if 0, also the time at which to ask again."""
        per_second = paced_rate(rate)
        room = self.gcra.available(per_second, _most_at_once(rate), now)
        minimum = max(1, min(wanted, int(per_second * AHEAD_S / 2)))
        if room >= minimum:
            return min(room, wanted), now
        return 0, now + (minimum - room) / per_second

    def lacks(self, rate: Rate, wanted: int, now: float) -> bool:
        """Tell whether fewer items may be dispatched now than `wanted`, or than ever at once if that is less."""
        most = _most_at_once(rate)
        return self.gcra.available(paced_rate(rate), most, now) < max(1, min(wanted, int(most)))

    def take(self, rate: Rate, count: int, now: float) -> None:
        """Charge dispatched items to the rate."""
        self.gcra.take(paced_rate(rate), count, now)

    def change_rate(self, previous: Rate | None, rate: Rate, now: float) -> None:
        """Apply another rate. Items that were dispatched early keep their number at the new rate."""
        per_second = 0.0 if previous is None else paced_rate(previous)
        self.gcra.change_rate(per_second, paced_rate(rate), now)
        if paced_rate(rate) < per_second:
            self.debt_until = self.gcra.full_at

    def limit_lead(self, rate: Rate, in_flight: int, now: float) -> None:
        """Limit the early items to those in flight after the rate fell; the others came back without being started.

        Before that, returned items may have been started at once, by a worker that does not pace.
        """
        if now < self.debt_until:
            self.gcra.full_at = min(self.gcra.full_at, now + (in_flight + rate.burst) / paced_rate(rate))

    def record_wait(self, seconds: float, sent_at: float, now: float) -> None:
        """Delay the next items if an item dispatched at `sent_at` waited too long (`seconds`) at its worker for its
        start time.

        The correction applies once for all items that were dispatched before it.
        """
        excess = clamp(seconds, 0.0, MAX_SECONDS) - 1.5 * AHEAD_S
        if excess > 0 and sent_at >= self.corrected_at:
            self.gcra.full_at, self.corrected_at = max(self.gcra.full_at, now) + excess, now


def _most_at_once(rate: Rate) -> float:
    return AHEAD_S * paced_rate(rate) + rate.burst

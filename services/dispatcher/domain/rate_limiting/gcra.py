"""Counts what a rate has let out, ahead of its time by a little, so that workers start each item at its moment.

The generic cell rate algorithm (ATM Forum TM 4.0, 4.4.2): one number, the time at which the bucket is full again.
"""

from dataclasses import dataclass

from batchyard_contracts.v1.values import Rate

AHEAD_S = 0.5
"""Items are given out so long before their time: it takes a moment until a worker has them."""
TOLERANCE_S = 0.025
"""How long after its moment a worker may still start an item, and what it may have in stock."""


def paced_rate(rate: Rate) -> float:
    """The rate that calls are paced by: low enough that late ones never make a second hold more than `rate` lets."""
    return rate.per_second / (1.0 + TOLERANCE_S)


@dataclass(slots=True)
class Gcra:
    """The bucket of one rate. Times are seconds of the caller's clock."""

    full_at: float = 0.0
    corrected_at: float = 0.0
    debt_until: float = 0.0
    """Until then there may be items out that went out at a faster rate."""

    def room(self, rate: Rate, wanted: int, now: float) -> tuple[int, float]:
        """How many of the wanted items may go out now; if none, when it is worth to ask again."""
        per_second = paced_rate(rate)
        latest = now + AHEAD_S + rate.burst / per_second
        room = int((latest - max(self.full_at, now)) * per_second + 1e-6)
        minimum = max(1, min(wanted, int(per_second * AHEAD_S / 2)))
        if room >= minimum:
            return min(room, wanted), now
        return 0, now + (minimum - room) / per_second

    def take(self, rate: Rate, count: int, now: float) -> None:
        """Items went out."""
        self.full_at = max(self.full_at, now) + count / paced_rate(rate)

    def change_rate(self, previous: Rate | None, rate: Rate, now: float) -> None:
        """Another rate holds. What went out ahead of its time is so many items still, at the new rate."""
        per_second = 0.0 if previous is None else paced_rate(previous)
        self.full_at = now + max(0.0, self.full_at - now) * per_second / paced_rate(rate)
        if paced_rate(rate) < per_second:
            self.debt_until = self.full_at

    def limit_lead(self, rate: Rate, in_flight: int, now: float) -> None:
        """After a rate fell, no more items are ahead of their time than are out: others came back without having
        started. Else what is back may have started at once, by a worker that keeps no moments."""
        if now < self.debt_until:
            self.full_at = min(self.full_at, now + (in_flight + rate.burst) / paced_rate(rate))

    def record_wait(self, seconds: float, sent_at: float, now: float) -> None:
        """An item given out at that time waited so long at a worker for its moment: if that was too long, the next ones
        go out later. Once for all that went out before this could be known."""
        excess = seconds - 1.5 * AHEAD_S
        if excess > 0 and sent_at >= self.corrected_at:
            self.full_at, self.corrected_at = max(self.full_at, now) + excess, now

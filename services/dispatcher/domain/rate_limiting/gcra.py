"""The generic cell rate algorithm, a token bucket in one number (ATM Forum TM 4.0, 4.4.2)."""

from dataclasses import dataclass

_ROUNDING = 1e-6


@dataclass(slots=True)
class Gcra:
    """A token bucket that is known by the time at which it will be full again, in seconds of the caller's clock.

    Its rates are those of `bounded_rate`.
    """

    full_at: float = 0.0

    def available(self, per_second: float, capacity: float, now: float) -> int:
        """Return how many tokens a bucket of this capacity holds; may be negative after its capacity fell."""
        return int(capacity - max(0.0, self.full_at - now) * per_second + _ROUNDING)

    def take(self, per_second: float, count: int, now: float) -> None:
        """Take tokens out, also more than the bucket holds."""
        self.full_at = max(self.full_at, now) + count / per_second

    def change_rate(self, previous: float, per_second: float, now: float) -> None:
        """Keep the number of missing tokens under another rate; `previous` is 0 if there was no rate before."""
        self.full_at = now + max(0.0, self.full_at - now) * previous / per_second

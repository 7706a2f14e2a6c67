"""The retry schedule of failed deliveries: a fixed list of delays, extended by jitter and by `Retry-After`."""

from dataclasses import dataclass

MAX_RETRY_AFTER_S = 86_400.0
JITTER = 0.2
"""Largest fraction by which a delay is extended, so that simultaneous failures are not retried together."""

_MINUTE, _HOUR = 60.0, 3600.0
DEFAULT_DELAYS_S = (0.0, 5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 10 * _HOUR)
"""Delays before the attempts 1, 2, 3 …: about 28 hours in all."""


@dataclass(frozen=True, slots=True)
class BackoffSchedule:
    """Delay before each attempt, in seconds; there are as many attempts as delays."""

    delays_s: tuple[float, ...] = DEFAULT_DELAYS_S

    def first_delay(self) -> float:
        """Return the delay before the first attempt."""
        return self.delays_s[0]

    def delay_after(self, number: int, jitter: float, retry_after_s: float | None = None) -> float | None:
        """Return the delay after attempt `number` failed (counted from 1), or None if it was the last.

        The delay is at least what the other side asked for and at least what the schedule says: an endpoint that asks
        for one second during an hour must not use up all its attempts in ten seconds.
        """
        if number >= len(self.delays_s):
            return None
        asked = min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        return max(self.delays_s[number], asked) * (1 + JITTER * jitter)

"""When a delivery that failed is tried again: a fixed list of waits, stretched by jitter and by `Retry-After`."""

from dataclasses import dataclass

MAX_RETRY_AFTER_S = 86_400.0
JITTER = 0.2
"""A wait is stretched by up to this part of itself, so that what failed together does not come back together."""

_MINUTE, _HOUR = 60.0, 3600.0
STANDARD_DELAYS_S = (0.0, 5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 10 * _HOUR)
"""The waits before the attempts 1, 2, 3 …: about 28 hours in all."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The wait before each attempt, in seconds: as many attempts as there are waits."""

    delays_s: tuple[float, ...] = STANDARD_DELAYS_S

    def first_wait(self) -> float:
        """The wait before the first attempt."""
        return self.delays_s[0]

    def wait_after(self, number: int, jitter: float, retry_after_s: float | None = None) -> float | None:
        """The wait after attempt `number` failed (counted from 1), or None when it was the last.

        Never shorter than what the other side asked for, nor than the schedule: an endpoint that says "in a second"
        for an hour must not use up all its attempts in ten.
        """
        if number >= len(self.delays_s):
            return None
        asked = min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        return max(self.delays_s[number], asked) * (1 + JITTER * jitter)

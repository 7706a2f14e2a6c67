"""Counts the requests of owners and keys in periods of fixed length, in bounded memory."""

import math
from collections import Counter
from dataclasses import dataclass

MAX_COUNTED = 20_000
"""Largest number of owners and keys that are counted in a period; further ones are not limited in it."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Rest of a quota, as the headers `RateLimit-Policy` and `RateLimit` tell it."""

    name: str
    quota: int
    period_s: int
    left: int
    """Requests that are left in the period; -1: this one is beyond the quota."""
    ends_in_s: int

    @property
    def policy_header(self) -> str:
        """The header `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11)."""
        return f'"{self.name}";q={self.quota};w={self.period_s}'

    @property
    def header(self) -> str:
        """The header `RateLimit`."""
        return f'"{self.name}";r={max(0, self.left)};t={self.ends_in_s}'


class RequestQuota:
    """Numbers of requests in the running period. `name` is that of the quota in headers."""

    def __init__(self, name: str, period_s: int) -> None:
        self._name, self._period_s = name, period_s
        self._ends_at = -math.inf
        self._counts: Counter[str] = Counter()

    def take(self, who: str, quota: int, now: float) -> RateLimit:
        """Count a request at a time in seconds of a monotonic clock; return what is left."""
        if now >= self._ends_at:
            self._counts.clear()
            self._ends_at = now + self._period_s
        if who in self._counts or len(self._counts) < MAX_COUNTED:
            self._counts[who] += 1
        left = quota - self._counts[who]
        return RateLimit(self._name, quota, self._period_s, max(-1, left), math.ceil(self._ends_at - now))

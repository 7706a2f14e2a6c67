"""Counts the requests of owners and keys, and tells how many are left."""

import math
from dataclasses import dataclass

from services.ingest.domain.period_counter import PeriodCounter


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
        self._name = name
        self.counter = PeriodCounter(period_s)

    def take(self, who: str, quota: int, now: float) -> RateLimit:
        """Count a request at a time in seconds; return what is left."""
        left = quota - self.counter.add(who, now)
        ends_in_s = math.ceil(self.counter.ends_in_s(now))
        return RateLimit(self._name, quota, self.counter.period_s, max(-1, left), ends_in_s)

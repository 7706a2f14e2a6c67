"""Places of calls that belong to no batch, such as questions, among the concurrent calls that a limit allows.

A call counts as in flight from its first request on, so that items make room for it. Calls that wait for the same limit
get their places in the order of their first requests.
"""

from dataclasses import dataclass
from uuid import UUID

from services.dispatcher.domain.rate_limiting.limit_set import LimitSet

_MAX_CALLS = 1000
"""Calls of one workload that may have or want a place at the same time."""
_WAIT_S = 5.0
"""Seconds after its last request for which a call that waits is kept."""


@dataclass(slots=True)
class _Call:
    partition: str
    expires_at: float
    is_granted: bool = False


class CallPlaces:
    """The calls of one workload. Times are seconds of the caller's clock; a call that is not ended expires."""

    def __init__(self, limits: LimitSet) -> None:
        self._limits = limits
        self._calls: dict[UUID, _Call] = {}

    def request(self, call_id: UUID, partition: str, seconds: float, now: float) -> bool:
        """Tell whether a call has a place, which it keeps for some seconds. May be repeated until it has one."""
        call = self._calls.get(call_id)
        if call is None:
            if len(self._calls) >= _MAX_CALLS:
                return False
            call = self._calls[call_id] = _Call(partition, now)
            self._limits.record_called(partition)
        if not call.is_granted:
            call.is_granted = self._has_place(call_id, call)
            call.expires_at = now + (seconds if call.is_granted else _WAIT_S)
        return call.is_granted

    def end(self, call_id: UUID) -> str | None:
        """End a call; returns the partition in which a place is free now, None if the call is not known."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return None
        self._limits.record_returned(call.partition, 1)
        return call.partition

    def end_expired(self, now: float) -> list[str]:
        """End the calls that were not ended in time; returns their partitions."""
        expired = [call_id for call_id, call in self._calls.items() if call.expires_at <= now]
        return [partition for call_id in expired if (partition := self.end(call_id)) is not None]

    def _has_place(self, call_id: UUID, call: _Call) -> bool:
        calls = list(self._calls)
        later = [self._calls[other] for other in calls[calls.index(call_id) + 1 :]]
        waiting = [self._limits.limiters_of(other.partition) for other in later if not other.is_granted]
        for limiter in self._limits.limiters_of(call.partition):
            behind = sum(any(other is limiter for other in limiters) for limiters in waiting)
            if limiter.terms.concurrency is not None and limiter.in_flight - behind > limiter.terms.concurrency:
                return False
        return True

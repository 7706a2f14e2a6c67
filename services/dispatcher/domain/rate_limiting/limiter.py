"""One limit at one of its values, such as a host or an account: how much it allows now, and why no more."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.values import Rate
from services.dispatcher.domain.rate_limiting.adaptive_rate import AdaptiveRate, RateChange
from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS, bounded_rate, clamp
from services.dispatcher.domain.rate_limiting.circuit_breaker import CircuitBreaker
from services.dispatcher.domain.rate_limiting.dispatch_rate import DispatchRate

NEVER = float("inf")
_ADAPTIVE_IDLE_S = 60.0
"""Seconds without an item after which the measurements behind an adaptive rate say little; the rate itself is kept."""


@dataclass(frozen=True, slots=True)
class LimitTerms:
    """The terms of a limiter; `adaptive` replaces a fixed rate."""

    rate: Rate | None = None
    concurrency: int | None = None
    adaptive: Adaptive | None = None
    set_by_operator: bool = False


@dataclass(frozen=True, slots=True)
class LearnedRate:
    """The stored rate and capacity of a destination in items per second."""

    per_second: float
    capacity: float | None = None


@dataclass(slots=True)
class Limiter:
    """The state of one limit at one value. Times are seconds of the caller's clock."""

    limit: str
    value: str
    terms: LimitTerms = LimitTerms()
    rate: Rate | None = None
    """The rate in force; None without a rate limit."""
    reason: str = "no limit"
    """Reason of the rate in words."""
    version: int = 0
    """Version of the rate; grows with each change."""
    in_flight: int = 0
    """Items in flight."""
    bucket: DispatchRate = field(default_factory=DispatchRate)
    circuit: CircuitBreaker = field(default_factory=CircuitBreaker)
    adaptive_rate: AdaptiveRate | None = None
    backoff_until: float = 0.0
    backoff_reason: str = ""

    @property
    def key(self) -> str:
        """Name of the limiter within its workload."""
        return f"{self.limit}:{self.value}"

    def room(self, wanted: int, now: float) -> tuple[int, float]:
        """Return how many of `wanted` items may be dispatched now; if 0, also the time at which to ask again: `NEVER`
        if items must come back first."""
        if self.backoff_until > now:
            return 0, self.backoff_until
        if self.circuit.state != "closed":
            wanted = self.circuit.allowed(wanted, self.in_flight, now)
            if wanted <= 0:
                return 0, self.circuit.next_probe_at if self.circuit.next_probe_at > now else NEVER
        if self.terms.concurrency is not None:
            wanted = min(wanted, self.terms.concurrency - self.in_flight)
            if wanted <= 0:
                return 0, NEVER
        if self.rate is None:
            return wanted, now
        self.bucket.limit_lead(self.rate, self.in_flight, now)
        return self.bucket.room(self.rate, wanted, now)

    def lacks(self, wanted: int, now: float) -> bool:
        """Tell whether the rate allows fewer items now than `wanted`, or than ever at once if that is less."""
        return self.rate is not None and self.bucket.lacks(self.rate, wanted, now)

    def record_dispatched(self, count: int, now: float) -> None:
        """Count dispatched items."""
        self.in_flight += count
        self.circuit.record_dispatched()
        if self.rate is not None:
            self.bucket.take(self.rate, count, now)

    def record_returned(self, count: int) -> None:
        """Count items as no longer in flight."""
        self.in_flight -= count
        if self.in_flight <= 0:
            self.circuit.record_no_answer()

    def set_terms(self, terms: LimitTerms, version: int, now: float, learned: LearnedRate | None = None) -> None:
        """Apply terms from now on."""
        if terms.adaptive is None:
            self.adaptive_rate = None
        elif self.adaptive_rate is None or self.adaptive_rate.bounds != terms.adaptive:
            known = learned or self.learned
            self.adaptive_rate = AdaptiveRate(
                terms.adaptive, now, *((known.per_second, known.capacity) if known else ())
            )
            self.reason = "learned earlier" if known else "initial rate"
        self.terms = terms
        if self.adaptive_rate is not None:
            self._set_rate(Rate(per_second=self.adaptive_rate.rate), version, now)
            return
        self.reason = "set by an operator" if terms.set_by_operator else "the manifest" if terms.rate else "no limit"
        self._set_rate(bounded_rate(terms.rate) if terms.rate else None, version, now)

    def record_feedback(
        self, feedback: DestinationFeedback, sent_at: float, version: int, now: float
    ) -> RateChange | None:
        """Update the rate from the feedback of items dispatched at `sent_at`; returns its change, None if it stays."""
        self.bucket.record_wait(feedback.mean_wait_ms / 1000, sent_at, now)
        if feedback.remaining is not None and feedback.reset_s:
            self._apply_remaining(feedback.remaining, clamp(feedback.reset_s, 0.0, MAX_SECONDS), now)
        change = self.adaptive_rate.record_feedback(feedback, now) if self.adaptive_rate else None
        if change is not None:
            self.reason = change.reason
            self._set_rate(Rate(per_second=change.after), version, now)
        return change

    def back_off(self, until: float, reason: str) -> bool:
        """Dispatch nothing before `until`; returns False if a longer pause is known."""
        if until <= self.backoff_until:
            return False
        self.backoff_until, self.backoff_reason = until, reason
        return True

    @property
    def learned(self) -> LearnedRate | None:
        """The adaptive rate and capacity; None without an adaptive rate."""
        return LearnedRate(self.adaptive_rate.rate, self.adaptive_rate.capacity) if self.adaptive_rate else None

    def is_idle(self, now: float) -> bool:
        """Tell whether a new limiter with the same learned rate would behave in the same way, so that this one may be
        removed."""
        return (
            self.in_flight <= 0
            and self.bucket.gcra.full_at <= (now if self.adaptive_rate is None else now - _ADAPTIVE_IDLE_S)
            and self.backoff_until <= now
            and self.circuit.state == "closed"
            and not self.terms.set_by_operator
        )

    def _apply_remaining(self, remaining: int, reset_s: float, now: float) -> None:
        """Back off until the reset if the destination accepts only `remaining` more calls, those in flight included."""
        if remaining <= self.in_flight:
            self.back_off(now + reset_s, f"{remaining} calls left for {reset_s:.0f} s, the destination said")

    def _set_rate(self, rate: Rate | None, version: int, now: float) -> None:
        if rate != self.rate:
            if rate is not None:
                self.bucket.change_rate(self.rate, rate, now)
            self.rate, self.version = rate, version

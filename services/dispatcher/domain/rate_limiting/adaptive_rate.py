"""Learns the rate that a destination sustains from the feedback of its items: up without queueing, down at once with
it.

While calls queue at the destination, its answers per second are its capacity. The rate goes there: a little below it
until no call waits, then a little above it until some do. If the rate is above the capacity and no call waits, the
capacity has changed, and the rate climbs in growing steps (as TCP Vegas and BBR do; Brakmo and Peterson 1995, Cardwell
et al. 2017). A destination that refuses calls without queueing shows only its limit: steps are small near the rate that
failed last and larger away from it (CUBIC, RFC 9438, 4.2).
"""

from collections import deque
from dataclasses import dataclass

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.values import MAX_PER_SECOND, MIN_PER_SECOND
from services.dispatcher.domain.rate_limiting.bounds import clamp
from services.dispatcher.domain.rate_limiting.latency_baseline import LatencyBaseline
from services.dispatcher.domain.rate_limiting.sample_window import SampleWindow

WINDOW_S = 0.25
"""Seconds between two decisions, if there is enough feedback; longer where answers take longer."""
_MIN_ANSWERS = 4
"""Answers that a decision on response times needs."""
_MAX_WINDOW_S = 10.0
_FEEDBACK_DELAY_S = 0.1
"""Age in seconds of the feedback of a call, in addition to its response time."""
_STEP, _STEP_MAX = 0.02, 0.25
"""First step up as a share of the rate, and the largest one. Steps double once the rate exceeds the last capacity."""
_ABOVE, _BELOW = 1.02, 0.98
"""Shares of the capacity: above the first one steps grow; below the second one the rate returns to it at once when no
call waits."""
_DRAIN_WINDOWS, _MAX_DRAIN = 4.0, 0.3
"""Number of windows in which queued calls are worked off, and the largest reduction of the rate for it."""
_WEIGHT = 0.7
"""Weight of the newest measurement in the capacity."""
_CUT_QUEUEING, _CUT, _CUT_LAST_CAPACITY, _MIN_SHARE = 0.6, 0.9, 0.96, 0.35
"""Shares of the rate that remain after a refusal: if calls queue first, if they do not, of the last capacity, and at
least."""
_GROWTH, _FAR = 0.001, 1.25
"""CUBIC's constant for a level of 1, and the ratio to the failed rate beyond which the destination counts as changed.
"""
_CERTAIN_WAIT_MS = 20.0
"""Additional wait in ms that ends the first climb, while the capacity is unknown."""
_SETTLING_WINDOWS = 1.5
"""Number of windows after a cut in which feedback still belongs to the rate before."""
_INEFFECTIVE_SHARE, _STEADY_DRIFT, _SAME_SHARE = 0.75, 0.05, 0.07
"""Conditions for a slower destination: the rate has fallen to this share, waits change by no more than this share of
the elapsed time, and the answers differ from the calls by no more than this share."""
_MIN_USE = 0.7
"""Share of the rate that must have been used before it may grow."""


@dataclass(frozen=True, slots=True)
class RateChange:
    """A change of a rate in items per second, with its reason in words."""

    before: float
    after: float
    reason: str


class AdaptiveRate:
    """The rate of one destination in items per second. Times are seconds of the caller's clock."""

    def __init__(self, bounds: Adaptive, now: float, learned: float | None = None, failed_at: float | None = None):
        start = learned if learned is not None else bounds.start if bounds.start is not None else bounds.floor
        self.bounds = bounds
        self._floor, self._ceiling = (clamp(x, MIN_PER_SECOND, MAX_PER_SECOND) for x in (bounds.floor, bounds.ceiling))
        self.rate = self._within(start)
        self.capacity = None if failed_at is None else clamp(failed_at, MIN_PER_SECOND, MAX_PER_SECOND)
        """Answers per second when a higher rate was tried last; None if unknown."""
        self._baseline = LatencyBaseline()
        self._rates = deque([(now, self.rate)], maxlen=64)
        """Recent rates, each with the time from which it held."""
        self._window = SampleWindow(now)
        self._previous = (0, 0.0)
        """Answers of the previous window, and its duration in seconds."""
        self._last_wait = (now, 0.0)
        self._step = _STEP
        self._waiting_since: float | None = None
        """The rate when calls began to wait; None if none waits."""
        self._queues = True
        """True if calls queue at the destination before it refuses any."""
        self._is_queueing_uncertain = False
        """True if it refused last without a known queue, so that `_queues` has to be confirmed."""
        self._capacity_is_stale = True
        """True if the known capacity no longer applies."""
        self._cut_at = self._settling_until = now
        self._recovery_s = 0.0

    def record_feedback(self, feedback: DestinationFeedback, now: float) -> RateChange | None:
        """Add feedback; returns the new rate if one is due."""
        window = self._window
        window.add(feedback)
        passed = now - window.started_at
        too_soon = passed < self._window_s or (window.answered < _MIN_ANSWERS and passed < _MAX_WINDOW_S)
        has_failures = window.rate_limited + window.unanswered > 0 and now >= self._settling_until
        if passed <= 0 or (too_soon and not has_failures):
            return None
        answered, seconds = self._previous
        self._window, self._previous = SampleWindow(now), (window.answered, passed)
        answered_per_second = (window.answered + answered) / (passed + seconds)
        return self._decide(window, clamp(answered_per_second, 0.0, MAX_PER_SECOND), now)

    @property
    def _window_s(self) -> float:
        return WINDOW_S + (self._baseline.base_ms or 0.0) / 1000

    def _decide(self, window: SampleWindow, answered_per_second: float, now: float) -> RateChange | None:
        """Decide on the rate; `answered_per_second` covers this window and the previous one."""
        waited_before = self._last_wait[1] > self._baseline.tolerance_ms
        wait, drift = self._wait(window, now) if window.timed >= _MIN_ANSWERS else (None, 0.0)
        if now < self._settling_until:
            return None
        if window.rate_limited:
            return self._cut(window, answered_per_second, f"{window.rate_limited} calls refused", now)
        if window.unanswered:
            return self._cut(window, answered_per_second, f"{window.unanswered} calls without an answer", now)
        if wait is None:
            return None
        if self._is_queueing_uncertain:
            self._queues = self._is_queueing_uncertain = False
        passed = now - window.started_at
        capacity = answered_per_second if waited_before else max(answered_per_second, window.answered / passed)
        used_rate = self._rate_at(
            (window.started_at + now) / 2 - (wait + (self._baseline.base_ms or 0.0)) / 1000 - _FEEDBACK_DELAY_S
        )
        if wait > self._baseline.tolerance_ms + (_CERTAIN_WAIT_MS if self.capacity is None else 0.0):
            return self._drain(wait, drift, capacity, used_rate, now)
        self._waiting_since = None
        if window.answered / passed < _MIN_USE * used_rate:
            self._cut_at += passed
            return None
        return self._grow(wait, now)

    def _wait(self, window: SampleWindow, now: float) -> tuple[float, float]:
        """Return how many ms calls waited, and by how many seconds the wait grows per second."""
        wait = self._baseline.wait_ms(window.median_ms)
        at, previous = self._last_wait
        self._last_wait = (now, wait)
        if wait > 2 * self._baseline.tolerance_ms:
            self._queues, self._is_queueing_uncertain = True, False
        return wait, (wait - previous) / 1000 / max(WINDOW_S / 4, now - at)

    def _drain(self, wait: float, drift: float, capacity: float, used_rate: float, now: float) -> RateChange | None:
        """Lower the rate to the capacity, and below it until no call waits."""
        initial_rate = self._waiting_since = used_rate if self._waiting_since is None else self._waiting_since
        is_settled = now > self._cut_at + 3 * self._window_s
        if (
            is_settled
            and used_rate < _INEFFECTIVE_SHARE * initial_rate
            and abs(drift) < _STEADY_DRIFT
            and abs(capacity / used_rate - 1) < _SAME_SHARE
        ):
            self._baseline.shift(wait)
            self._waiting_since = None
            return None
        if self._capacity_is_stale or self.capacity is None:
            self.capacity = capacity
        self.capacity += _WEIGHT * (capacity - self.capacity)
        self._capacity_is_stale, self._step = False, _STEP
        excess_s = (wait - self._baseline.tolerance_ms / 2) / 1000
        drained = self.capacity * (1 - min(_MAX_DRAIN, excess_s / (_DRAIN_WINDOWS * self._window_s)))
        base = self._baseline.base_ms or 0.0
        after = max(_MIN_SHARE * self.rate, min(self.rate, drained))
        return self._set_rate(after, f"median {base:.0f} ms to {base + wait:.0f} ms", now)

    def _grow(self, wait: float, now: float) -> RateChange | None:
        before, capacity = self.rate, self.capacity
        if capacity is None:
            return self._set_rate(before * (1 + _STEP_MAX), "no queueing", now)
        if not self._queues and before < _FAR * capacity:
            elapsed = (now - self._cut_at) * WINDOW_S / self._window_s - self._recovery_s
            wanted = capacity * (1 + _GROWTH * elapsed**3)
            return self._set_rate(max(before, min(wanted, before * (1 + _STEP_MAX))), "no queueing", now)
        if before < _BELOW * capacity:
            return self._set_rate(
                max(_BELOW * capacity, before * (1 + _STEP)), "no queueing, back to the last capacity", now
            )
        if wait > self._baseline.tolerance_ms / 2:
            return None
        if before > _ABOVE * capacity:
            self._step = min(_STEP_MAX, 2 * self._step)
        return self._set_rate(before * (1 + self._step), "no queueing", now)

    def _cut(self, window: SampleWindow, answered_per_second: float, reason: str, now: float) -> RateChange | None:
        before, passed = self.rate, now - window.started_at
        answered = window.answered / passed if passed >= WINDOW_S / 2 else before
        if self._queues:
            self.capacity = min(before, max(answered, _MIN_SHARE * before))
            after = min(_CUT_QUEUEING * before, _CUT * self.capacity)
        else:
            is_repeated = now - self._cut_at < 4 * self._window_s and answered_per_second < _CUT * before
            self.capacity = max(answered_per_second, _MIN_SHARE * before) if is_repeated else before
            after = min(_CUT * before, _CUT_LAST_CAPACITY * self.capacity)
        self._recovery_s = ((1 - after / self.capacity) / _GROWTH) ** (1 / 3)
        self._capacity_is_stale = self._is_queueing_uncertain = True
        self._step, self._waiting_since = _STEP, None
        self._cut_at, self._settling_until = now, now + _SETTLING_WINDOWS * self._window_s
        return self._set_rate(after, reason, now)

    def _rate_at(self, at: float) -> float:
        return next((rate for since, rate in reversed(self._rates) if since <= at), self._rates[0][1])

    def _set_rate(self, rate: float, reason: str, now: float) -> RateChange | None:
        before, self.rate = self.rate, self._within(rate)
        if self.rate == before:
            return None
        self._rates.append((now, self.rate))
        return RateChange(before, self.rate, reason)

    def _within(self, rate: float) -> float:
        return clamp(rate, self._floor, self._ceiling)

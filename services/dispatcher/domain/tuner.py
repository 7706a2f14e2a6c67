"""Learns the rate that a destination bears, from what its items felt: gently up while it is at ease, down at once when
it is not.

Up: additive steps that follow CUBIC (RFC 9438, 4.2): small near the level that failed last, larger the longer that was
ago. Down: in proportion to what was really answered, at most once in a reaction time. Trouble is a refusal, a call
without an answer, or answers that take clearly longer than they do when the destination is at ease.
"""

from dataclasses import dataclass
from typing import Literal

from batchyard_contracts.v1.flow import Felt
from batchyard_contracts.v1.manifest import Adaptive

TICK_S = 0.25
"""How often the rate is thought over, if enough was felt; less often where answers take longer."""
_ENOUGH = 4
"""Answers that a judgement on times needs."""
_LONGEST_TICK_S = 10.0
_GROWTH = {"slow": 0.04, "refused": 0.004}
"""CUBIC's constant, for a level of one: a destination that refuses without having been slow is tried more rarely."""
_FIRST_GROWTH = 1.0
"""Share of the rate that is added in a second while nothing has failed."""
_STEP_MAX = 0.25
"""The largest step up, as a share of the rate."""
_EASE = 0.96
"""After trouble the rate becomes this share of what was answered meanwhile, so that what waits is worked off."""
_MOST_CUT = 0.35
_LEAST_CUT = 0.9
_SLOW = (1.5, 20.0)
"""Answers are slow that take longer than this many times the time at ease, plus so many milliseconds."""
_BASE_DOWN, _BASE_UP = 0.3, 0.01
"""Weights by which the time at ease follows shorter, and longer, times."""
_IN_VAIN = 4
"""Cuts in a row that did not make it faster, after which its time at ease is taken to be another."""
_USED = 0.7
"""The share of the rate that must have been used before it may grow."""


@dataclass(frozen=True, slots=True)
class Change:
    """Another rate, and why, in words."""

    before: float
    after: float
    cause: str


class Tuner:
    """The rate of one destination, in items a second. Times are seconds of the caller's clock."""

    def __init__(self, bounds: Adaptive, now: float, learned: float | None = None, failed_at: float | None = None):
        start = learned if learned is not None else bounds.start if bounds.start is not None else bounds.floor
        self.bounds = bounds
        self.rate = self._within(start)
        self.failed_at = failed_at
        """The level that failed last."""
        self.base_ms: float | None = None
        """How long an answer takes when the destination is at ease."""
        self._since = now
        """When the rate was cut last."""
        self._began = now
        self._deaf_until = now
        self._answered = self._refused = self._broken = self._timed = 0
        self._median_ms = 0.0
        self._slow_ms: float | None = None
        """How long answers took when they last were slow, until they are so no more."""
        self._in_vain = 0
        self._growth = _GROWTH["slow"]
        self._way_back_s = 0.0

    def felt(self, felt: Felt, now: float) -> Change | None:
        """Take in what some items felt; another rate if that is due."""
        if now < self._deaf_until:  # these started at the old rate
            self._began = now
            return None
        count = self._answered + felt.answered
        if felt.median_ms is not None:
            self._timed += felt.answered
            self._median_ms += (felt.median_ms - self._median_ms) * felt.answered / max(1, self._timed)
        self._answered, self._refused, self._broken = count, self._refused + felt.refused, self._broken + felt.broken
        passed = now - self._began
        soon = passed < self._tick_s or (count < _ENOUGH and passed < _LONGEST_TICK_S)
        if soon and not self._refused + self._broken:
            return None
        change = self._judge(passed, now)
        self._began, self._median_ms = now, 0.0
        self._answered = self._refused = self._broken = self._timed = 0
        return change

    @property
    def _tick_s(self) -> float:
        return TICK_S + (self.base_ms or 0.0) / 1000

    def _judge(self, passed: float, now: float) -> Change | None:
        rate = self._answered / passed if passed >= TICK_S / 2 else None
        if self._refused:
            return self._cut(rate, "refused", f"{self._refused} calls refused", now)
        if self._broken:
            return self._cut(rate, "refused", f"{self._broken} calls without an answer", now)
        if self._timed < _ENOUGH or rate is None:
            return None
        median, base = self._median_ms, self.base_ms
        slow = base is not None and median > base * _SLOW[0] + _SLOW[1]
        weight = 1.0 if base is None else _BASE_DOWN if median < base else _BASE_UP
        self.base_ms = median if base is None else base + (median - base) * weight
        if slow:
            easing = self._slow_ms is not None and median < self._slow_ms
            self._slow_ms = median
            if easing:
                return None
            self._in_vain += 1
            if self._in_vain > _IN_VAIN:  # it has become slower, at whatever rate
                self.base_ms, self._in_vain, self._slow_ms = median, 0, None
                return None
            return self._cut(rate, "slow", f"median {base:.0f} ms to {median:.0f} ms", now)
        self._slow_ms, self._in_vain = None, 0
        if rate < _USED * self.rate:
            self._since += passed  # nothing was tried, so nothing was learned
            return None
        return self._grow(passed, now)

    def _grow(self, passed: float, now: float) -> Change | None:
        before = self.rate
        unhurried = TICK_S / self._tick_s  # where answers take longer, trouble is known later
        if self.failed_at is None:
            wanted = before * (1 + _FIRST_GROWTH * unhurried * passed)
        else:
            away = (now - self._since) * unhurried - self._way_back_s
            wanted = self.failed_at * (1 + self._growth * away**3)
        self.rate = self._within(max(before, min(wanted, before * (1 + _STEP_MAX))))
        if self.rate == before:
            return None
        near = self.failed_at is not None and self.rate <= self.failed_at
        return Change(before, self.rate, "at ease, back to what failed last" if near else "at ease")

    def _cut(self, answered: float | None, kind: Literal["slow", "refused"], why: str, now: float) -> Change | None:
        """`answered`: items a second that the destination managed meanwhile, which is what it can do."""
        before = self.rate
        borne = before if answered is None else min(before, max(answered, _MOST_CUT * before))
        self.rate = self._within(min(_LEAST_CUT * before, _EASE * borne))
        self.failed_at, self._growth = max(self.rate, borne), _GROWTH[kind]
        self._way_back_s = ((1 - self.rate / self.failed_at) / self._growth) ** (1 / 3)
        self._since = now
        self._deaf_until = now + self._tick_s
        return Change(before, self.rate, why) if self.rate != before else None

    def _within(self, rate: float) -> float:
        return min(self.bounds.ceiling, max(self.bounds.floor, rate))

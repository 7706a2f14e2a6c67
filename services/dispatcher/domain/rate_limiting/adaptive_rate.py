"""Learns the rate that a destination bears, from what its items felt: up while it is at ease, down at once when not.

A destination that lets calls wait says by that how much it bears: as long as some wait, the answers that come are its
capacity. So the rate goes there, a little below it until none waits, a little above it until some do; and once it is
above and none waits, the capacity is another one, and the rate climbs in ever larger steps (as TCP Vegas and BBR do;
Brakmo and Peterson 1995, Cardwell et al. 2017). One that refuses without having let anybody wait says only where it
stops: near the rate that failed last steps are small, away from it larger (CUBIC, RFC 9438, 4.2).
"""

from collections import deque
from dataclasses import dataclass

from batchyard_contracts.v1.flow import Felt
from batchyard_contracts.v1.manifest import Adaptive
from services.dispatcher.domain.rate_limiting.latency_baseline import Ease
from services.dispatcher.domain.rate_limiting.sample_window import Tick

TICK_S = 0.25
"""How often the rate is thought over, if enough was felt; less often where answers take longer."""
_ENOUGH = 4
"""Answers that a judgement on times needs."""
_LONGEST_TICK_S = 10.0
_NEWS_S = 0.1
"""What is heard of a call is so old, beside the time that it took."""
_STEP, _STEP_MAX = 0.02, 0.25
"""The first step up, as a share of the rate, and the largest: each is twice the one before once the rate is beyond what
was borne last."""
_BEYOND, _BELOW = 1.02, 0.98
"""Shares of what is borne: there the steps begin to grow, and there the rate returns to at once when nobody waits."""
_DRAIN_TICKS, _DRAIN_MOST = 4.0, 0.3
"""What waits is worked off within so many ticks, by lowering the rate by so much at most."""
_WEIGHT = 0.7
"""By which what is borne follows the answers that come while some wait."""
_REFUSED, _LEAST, _SURE, _MOST_CUT = 0.6, 0.9, 0.96, 0.35
"""Shares that are left of a rate after a refusal: where calls wait before, where none does, of what is borne then, and
at least."""
_GROWTH, _FAR = 0.001, 1.25
"""CUBIC's constant, for a level of one; and how far beyond the rate that failed it is another destination."""
_SURELY_MS = 20.0
"""While nothing is known but a rise, calls must wait so much longer to end it: soon they would anyway."""
_DEAF_TICKS = 1.5
"""For so long after a cut, what is heard comes from before."""
_VAIN, _STILL, _SAME = 0.75, 0.05, 0.07
"""With so much of the rate left, calls that wait as long as before (within a share of the time that passed) and are
all answered (within a share of them) do not wait for others: the destination has become slower."""
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
        """What was borne last, when more was tried."""
        self._ease = Ease()
        self._rates = deque([(now, self.rate)], maxlen=64)
        """Those of late, with the times from which they held."""
        self._tick = Tick(now)
        self._before = (0, 0.0)
        """Answers of the tick before, and how long that was."""
        self._last_wait = (now, 0.0)
        self._step = _STEP
        self._waiting_since: float | None = None
        """The rate when calls began to wait."""
        self._lets_wait = True
        """Whether it lets calls wait before it refuses any."""
        self._in_doubt = False
        """Whether that was not so when it last refused, as far as is known."""
        self._surprised = True
        """Whether what was borne before says nothing now."""
        self._cut_at = self._deaf_until = now
        self._way_back_s = 0.0

    def felt(self, felt: Felt, now: float) -> Change | None:
        """Take in what some items felt; another rate if that is due."""
        tick = self._tick
        tick.add(felt)
        passed = now - tick.began
        soon = passed < self._tick_s or (tick.answered < _ENOUGH and passed < _LONGEST_TICK_S)
        trouble = tick.refused + tick.broken > 0 and now >= self._deaf_until
        if passed <= 0 or (soon and not trouble):
            return None
        answered, seconds = self._before
        self._tick, self._before = Tick(now), (tick.answered, passed)
        return self._judge(tick, (tick.answered + answered) / (passed + seconds), now)

    @property
    def _tick_s(self) -> float:
        return TICK_S + (self._ease.base_ms or 0.0) / 1000

    def _judge(self, tick: Tick, lately: float, now: float) -> Change | None:
        """`lately`: answers a second, of this tick and the one before."""
        waited_before = self._last_wait[1] > self._ease.tolerance_ms
        wait, drift = self._wait(tick, now) if tick.timed >= _ENOUGH else (None, 0.0)
        if now < self._deaf_until:
            return None
        if tick.refused:
            return self._refused(tick, lately, f"{tick.refused} calls refused", now)
        if tick.broken:
            return self._refused(tick, lately, f"{tick.broken} calls without an answer", now)
        if wait is None:
            return None
        if self._in_doubt:
            self._lets_wait = self._in_doubt = False
        passed = now - tick.began
        borne = lately if waited_before else max(lately, tick.answered / passed)
        used = self._rate_at((tick.began + now) / 2 - (wait + (self._ease.base_ms or 0.0)) / 1000 - _NEWS_S)
        if wait > self._ease.tolerance_ms + (_SURELY_MS if self.failed_at is None else 0.0):
            return self._wait_less(wait, drift, borne, used, now)
        self._waiting_since = None
        if tick.answered / passed < _USED * used:
            self._cut_at += passed  # nothing was tried, so nothing was learned
            return None
        return self._grow(wait, now)

    def _wait(self, tick: Tick, now: float) -> tuple[float, float]:
        """How long calls waited, in ms, and how many seconds longer than a second ago."""
        wait = self._ease.wait_ms(tick.median_ms)
        at, before = self._last_wait
        self._last_wait = (now, wait)
        if wait > 2 * self._ease.tolerance_ms:
            self._lets_wait, self._in_doubt = True, False
        return wait, (wait - before) / 1000 / max(TICK_S / 4, now - at)

    def _wait_less(self, wait: float, drift: float, borne: float, used: float, now: float) -> Change | None:
        """Down to what is borne, and below it until nobody waits."""
        began = self._waiting_since = used if self._waiting_since is None else self._waiting_since
        calm = now > self._cut_at + 3 * self._tick_s
        if calm and used < _VAIN * began and abs(drift) < _STILL and abs(borne / used - 1) < _SAME:
            self._ease.believe(wait)
            self._waiting_since = None
            return None
        if self._surprised or self.failed_at is None:
            self.failed_at = borne
        self.failed_at += _WEIGHT * (borne - self.failed_at)
        self._surprised, self._step = False, _STEP
        excess_s = (wait - self._ease.tolerance_ms / 2) / 1000
        drained = self.failed_at * (1 - min(_DRAIN_MOST, excess_s / (_DRAIN_TICKS * self._tick_s)))
        base = self._ease.base_ms or 0.0
        after = max(_MOST_CUT * self.rate, min(self.rate, drained))
        return self._to(after, f"median {base:.0f} ms to {base + wait:.0f} ms", now)

    def _grow(self, wait: float, now: float) -> Change | None:
        before, failed_at = self.rate, self.failed_at
        if failed_at is None:
            return self._to(before * (1 + _STEP_MAX), "at ease", now)
        if not self._lets_wait and before < _FAR * failed_at:
            away = (now - self._cut_at) * TICK_S / self._tick_s - self._way_back_s
            wanted = failed_at * (1 + _GROWTH * away**3)
            return self._to(max(before, min(wanted, before * (1 + _STEP_MAX))), "at ease", now)
        if before < _BELOW * failed_at:
            return self._to(max(_BELOW * failed_at, before * (1 + _STEP)), "at ease, back to what was borne last", now)
        if wait > self._ease.tolerance_ms / 2:
            return None
        if before > _BEYOND * failed_at:
            self._step = min(_STEP_MAX, 2 * self._step)
        return self._to(before * (1 + self._step), "at ease", now)

    def _refused(self, tick: Tick, lately: float, why: str, now: float) -> Change | None:
        before, passed = self.rate, now - tick.began
        answered = tick.answered / passed if passed >= TICK_S / 2 else before
        if self._lets_wait:
            self.failed_at = min(before, max(answered, _MOST_CUT * before))
            after = min(_REFUSED * before, _LEAST * self.failed_at)
        else:
            again = now - self._cut_at < 4 * self._tick_s and lately < _LEAST * before
            self.failed_at = max(lately, _MOST_CUT * before) if again else before
            after = min(_LEAST * before, _SURE * self.failed_at)
        self._way_back_s = ((1 - after / self.failed_at) / _GROWTH) ** (1 / 3)
        self._surprised = self._in_doubt = True
        self._step, self._waiting_since = _STEP, None
        self._cut_at, self._deaf_until = now, now + _DEAF_TICKS * self._tick_s
        return self._to(after, why, now)

    def _rate_at(self, at: float) -> float:
        return next((rate for since, rate in reversed(self._rates) if since <= at), self._rates[0][1])

    def _to(self, rate: float, why: str, now: float) -> Change | None:
        before, self.rate = self.rate, self._within(rate)
        if self.rate == before:
            return None
        self._rates.append((now, self.rate))
        return Change(before, self.rate, why)

    def _within(self, rate: float) -> float:
        return min(self.bounds.ceiling, max(self.bounds.floor, rate))

"""Learns how much the workers of one workload manage while they have as much as they can run.

Their slots say how many items may run at once; the way of a chunk to a worker and back takes time, too. So the seconds
that items ran, divided by the seconds that passed, are what counts. They are learned only while the workers are busy,
and once the first items have come back.
"""

import math
from dataclasses import dataclass, field

from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS, clamp

_LEAST_S, _LEAST_RUNS = 10.0, 5.0
"""Age at which what was seen weighs 1/e of the newest: seconds, or durations of an item if these are longer."""
_WARM_UP_RUNS = 2.0
"""Durations of an item that pass before what is seen counts."""
_MIN_OUTCOMES = 20
_UNKNOWN_SPREAD, _MIN_SPREAD = 0.1, 0.03


@dataclass(slots=True)
class WorkerPace:
    """Learned number of slots that are really in use. Times are seconds of the caller's clock."""

    _slots: float = 0.0
    _variance: float = 0.0
    _counted: float = 0.0
    """Outcomes that the learned number comes from."""
    _nominal: float = 0.0
    _busy_s: float = field(default=0.0, init=False)
    _outcomes: float = field(default=0.0, init=False)
    """Reported since the last look."""
    _seen_at: float | None = field(default=None, init=False)
    _was_busy: bool = field(default=False, init=False)
    _busy_since: float | None = field(default=None, init=False)

    def record(self, count: int, busy_s: float) -> None:
        """Record a report."""
        self._busy_s += clamp(busy_s, 0.0, MAX_SECONDS)
        self._outcomes += count

    def look(self, now: float, slots: float, mean_s: float, *, is_busy: bool) -> None:
        """Take a look at the workers, who have `slots`; `is_busy`: they have as much as they can run."""
        since, busy_s, outcomes, was_busy = self._seen_at, self._busy_s, self._outcomes, self._was_busy
        self._seen_at, self._busy_s, self._outcomes, self._was_busy = now, 0.0, 0.0, is_busy
        if slots != self._nominal and self._nominal and slots:  # workers have come or gone
            self._slots *= slots / self._nominal
        self._nominal = slots or self._nominal
        if not (is_busy and was_busy) or since is None or now <= since:
            self._busy_since = None
            return
        if self._busy_since is None:
            self._busy_since = since
        if now - self._busy_since < _WARM_UP_RUNS * mean_s:
            return
        used = busy_s / (now - since)
        part = 1 - math.exp(-(now - since) / max(_LEAST_S, _LEAST_RUNS * mean_s)) if self._counted else 1.0
        difference = used - self._slots
        self._slots += part * difference
        self._variance += part * (difference**2 - self._variance) if self._counted else 0.0
        self._counted += outcomes

    def slots(self, nominal: float) -> tuple[float, float]:
        """Return the slots that are in use while the workers are busy, and the deviation of their logarithm."""
        if self._counted < _MIN_OUTCOMES or self._slots <= 0:
            return nominal, _UNKNOWN_SPREAD
        used = min(self._slots, nominal)
        relative = math.sqrt(self._variance) / self._slots
        return used, max(_MIN_SPREAD, min(0.5, relative / 4))

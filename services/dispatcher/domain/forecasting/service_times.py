"""Learns how long the items of one workload run, and how many run again, by partition.

Each report counts with the number of its outcomes; old ones are forgotten little by little. A partition of which little
is known is taken to be like the others.
"""

from dataclasses import dataclass, field

from services.dispatcher.domain.forecasting.load import Service
from services.dispatcher.domain.rate_limiting.bounds import MAX_SECONDS, clamp

_MAX_OUTCOMES, _MAX_REPORTS = 500, 100
"""Outcomes, and reports, that count; later ones replace earlier ones."""
_LIKE_OTHERS = 5.0
"""Outcomes of a partition that weigh as much as what is known of all partitions."""
_MAX_PARTITIONS = 1000
"""Partitions that are kept; the one that was met first is forgotten."""


@dataclass(slots=True)
class _Moments:
    mean_s: float = 0.0
    variance: float = 0.0
    outcomes: float = 0.0
    reports: float = 0.0
    again: float = 0.0
    again_s: float = 0.0

    def record(self, count: int, mean_s: float, again: int, again_s: float) -> None:
        self.outcomes = min(self.outcomes + count, max(_MAX_OUTCOMES, count))
        self.reports = min(self.reports + 1, _MAX_REPORTS)
        part = count / self.outcomes
        difference = mean_s - self.mean_s
        self.mean_s += part * difference
        # The mean of `count` items varies less than an item, by that factor.
        self.variance += (count * difference * (mean_s - self.mean_s) - self.variance) / self.reports
        self.again += part * (again / count - self.again)
        if again:
            self.again_s += max(part, again / self.outcomes) * (again_s - self.again_s) if self.again_s else again_s


@dataclass(slots=True)
class ServiceTimes:
    """Learned durations of the items of one workload."""

    _all: _Moments = field(default_factory=_Moments)
    _by_partition: dict[str, _Moments] = field(default_factory=dict)

    @property
    def outcomes(self) -> float:
        """Number of outcomes that count."""
        return self._all.outcomes

    @property
    def mean_s(self) -> float:
        """Mean duration of an item of any partition."""
        return self._all.mean_s

    def record(self, partition: str, count: int, busy_s: float, again: int = 0, again_s: float = 0.0) -> None:
        """Record a report of `count` outcomes after calls of `busy_s` seconds together, of which `again` run again
        after `again_s` seconds on average."""
        if count <= 0:
            return
        mean_s = clamp(busy_s, 0.0, MAX_SECONDS) / count
        again_s = clamp(again_s, 0.0, MAX_SECONDS)
        own = self._by_partition.get(partition)
        if own is None:
            own = self._by_partition[partition] = _Moments()
            if len(self._by_partition) > _MAX_PARTITIONS:
                del self._by_partition[next(iter(self._by_partition))]
        own.record(count, mean_s, again, again_s)
        self._all.record(count, mean_s, again, again_s)

    def of(self, partition: str) -> Service:
        """Return what is known of a partition; the outcomes are those of all partitions as far as it is like them."""
        every, own = self._all, self._by_partition.get(partition) or _Moments()
        weight = own.outcomes / (own.outcomes + _LIKE_OTHERS)
        return Service(
            mean_s=every.mean_s + weight * (own.mean_s - every.mean_s),
            deviation_s=max(0.0, every.variance + weight * (own.variance - every.variance)) ** 0.5,
            outcomes=own.outcomes + min(_LIKE_OTHERS, every.outcomes),
            again=every.again + weight * (own.again - every.again),
            again_s=own.again_s or every.again_s,
        )

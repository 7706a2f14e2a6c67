"""Builds the load of a workload from what the dispatcher has in hand: its batches, their destinations, and limits."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.dispatcher.domain.forecasting.load import BatchLoad, LimitLoad, Service, Strand, WorkloadLoad
from services.dispatcher.domain.forecasting.service_times import ServiceTimes
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.rate_limiting.dispatch_rate import paced_rate
from services.dispatcher.domain.rate_limiting.limiter import Limiter
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.waiting import Wait, wait_at_destination

MAX_STRANDS = 80
"""Strands of a workload that are simulated one by one; further destinations of a batch are taken together."""
MAX_BATCHES = 40
"""Batches that are simulated one by one; the others, which come last, are taken together."""
_LEAST_PER_BATCH = 2
_MAX_COMPARED = 200
"""Destinations of a batch with most items of which those that take longest are looked for."""
_MAX_SAMPLED = 50
"""Destinations that are taken together of which the limits are looked at; those of the others are taken to be alike."""
_ADAPTIVE_SPREAD, _FIXED_SPREAD = 0.15, 0.01
NOT_BEFORE = ("not_before", "The batch is to start later.")
RETRY_LATER = ("retry_due_later", "Items wait to be tried again.")


@dataclass(slots=True)
class DestinationWork:
    """Items of a batch for one partition that have not ended."""

    partition: str
    waiting: float = 0.0
    in_flight: float = 0.0
    later: float = 0.0
    """Items that run again at a later time."""
    later_s: float = 0.0
    """Mean of the seconds until they may."""
    last_s: float = 0.0
    """Seconds until the last of them may."""

    @property
    def left(self) -> float:
        """Number of all items."""
        return self.waiting + self.in_flight + self.later


@dataclass(slots=True)
class BatchWork:
    """A batch with the destinations of its items."""

    load: BatchLoad
    destinations: Sequence[DestinationWork]
    own_limits: BatchLimits | None = None
    starts_s: float = 0.0
    """Seconds before which no item runs."""

    @property
    def left(self) -> float:
        """Number of items that have not ended."""
        return sum(one.left for one in self.destinations)


class Blocked(NamedTuple):
    """A destination that takes no call for an unknown time."""

    partition: str
    wait: Wait


@dataclass(slots=True)
class LoadBuilder:
    """The load of one workload at the time `now`, in seconds of the caller's clock."""

    window: InFlightWindow
    service_times: ServiceTimes
    slots: tuple[float, float]
    """Items that the workers run at once, and the deviation of its logarithm."""
    now: float
    _batches: list[BatchLoad] = field(default_factory=list)
    _strands: list[Strand] = field(default_factory=list)
    _limits: list[LimitLoad] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    """Places of the limits that batches share, by key."""

    def add(self, batch: BatchWork, destinations: int) -> None:
        """Add a batch, with so many destinations one by one at most."""
        own = self._own_limits(batch.own_limits)
        self._batches.append(replace(batch.load, limits=own))
        largest: Sequence[DestinationWork] = batch.destinations
        if len(largest) > _MAX_COMPARED:
            largest = heapq.nlargest(_MAX_COMPARED, largest, key=lambda one: one.waiting)
        first = heapq.nlargest(destinations, largest, key=self._time_of)
        for one in first:
            self._add_strands(one, batch.starts_s, self.service_times.of(one.partition), self._shared(one.partition))
        if len(first) < len(batch.destinations):
            added = set(map(id, first))  # a question may name a partition twice
            self._add_rest([one for one in batch.destinations if id(one) not in added], batch.starts_s)

    def build(self) -> WorkloadLoad:
        """Return the load."""
        slots, spread = self.slots
        return WorkloadLoad(slots, tuple(self._batches), tuple(self._strands), tuple(self._limits), spread)

    def find_blocked(self, destinations: Iterable[DestinationWork]) -> Blocked | None:
        """Return the first destination that takes no call for an unknown time."""
        for one in destinations:
            wait = wait_at_destination(self.window.limits.limiters_of(one.partition), self.now)
            if wait is not None and wait.code == "circuit_open":
                return Blocked(one.partition, wait)
        return None

    def _time_of(self, one: DestinationWork) -> float:
        return one.left * self.service_times.of(one.partition).mean_s + 1e-9 * one.left

    def _add_strands(self, one: DestinationWork, starts_s: float, service: Service, limits: tuple[int, ...]) -> None:
        batch = len(self._batches) - 1
        opens_s, held = starts_s, NOT_BEFORE if starts_s > 0 else None
        if wait := wait_at_destination(self.window.limits.limiters_of(one.partition), self.now):
            until_s = (wait.until or self.now) - self.now
            if until_s > opens_s:
                opens_s, held = until_s, (wait.code, wait.detail)
        running = one.in_flight / 2 if self.window.is_supplied else one.in_flight
        strand = Strand(batch, 0.0, service, limits, 0.0, opens_s, held)
        if one.waiting + one.in_flight > 0:  # an item that runs has half of its time before it
            items = one.waiting + one.in_flight - running / 2
            self._strands.append(replace(strand, items=items, running=running))
        if one.later > 0:
            later = replace(strand, held=RETRY_LATER)
            if one.later > 1:
                self._strands.append(replace(later, items=one.later - 1, ready_s=max(opens_s, one.later_s)))
            self._strands.append(replace(later, items=1.0, ready_s=max(opens_s, one.last_s)))

    def _add_rest(self, rest: Sequence[DestinationWork], starts_s: float) -> None:
        """Add destinations as one, which has the rates of all of them together."""
        together = DestinationWork(
            "",
            sum(one.waiting for one in rest),
            sum(one.in_flight for one in rest),
            sum(one.later for one in rest),
            max(one.later_s for one in rest),
            max(one.last_s for one in rest),
        )
        sampled = rest[:: max(1, len(rest) // _MAX_SAMPLED)]
        limiters = [limiter for one in sampled for limiter in self.window.limits.limiters_of(one.partition)]
        own = [limiter for limiter in limiters if limiter.value]
        places = {self._place(limiter) for limiter in limiters if not limiter.value}
        if own and all(limiter.rate is not None for limiter in own):
            per_second = sum(paced_rate(limiter.rate) for limiter in own if limiter.rate) * len(rest) / len(sampled)
            detail = f"The rates of {len(rest)} destinations allow {per_second:g} items in a second together."
            self._limits.append(LimitLoad("rate_limit", detail, per_second, spread=_FIXED_SPREAD))
            places.add(len(self._limits) - 1)
        strands = tuple(sorted(place for place in places if place is not None))
        self._add_strands(together, starts_s, self.service_times.of(""), strands)

    def _shared(self, partition: str) -> tuple[int, ...]:
        places = (self._place(limiter) for limiter in self.window.limits.limiters_of(partition))
        return tuple(place for place in places if place is not None)

    def _place(self, limiter: Limiter) -> int | None:
        """Return the place of a limit, added if it is missing; None if it limits nothing."""
        rate, concurrency = limiter.rate, limiter.terms.concurrency
        if rate is None and concurrency is None:
            return None
        if (place := self._places.get(limiter.key)) is not None:
            return place
        name = limiter.value or "the workload"
        if rate is not None:
            code, detail = "rate_limit", f"The rate of {name} allows {rate.per_second:g} items in a second."
        else:
            code, detail = "concurrency_limit", f"{name} allows {concurrency} items at a time."
        place = self._places[limiter.key] = len(self._limits)
        spread = _ADAPTIVE_SPREAD if limiter.adaptive_rate else _FIXED_SPREAD
        per_second = paced_rate(rate) if rate else None
        self._limits.append(LimitLoad(code, detail, per_second, concurrency, spread, limiter.key))
        return place

    def _own_limits(self, limits: BatchLimits | None) -> tuple[int, ...]:
        found = []
        if limits is not None and limits.rate is not None:
            detail = f"The batch's own rate allows {limits.rate.per_second:g} items in a second."
            found.append(LimitLoad("rate_limit", detail, limits.rate.per_second))
        if limits is not None and limits.concurrency is not None:
            detail = f"The batch's own `concurrency` allows {limits.concurrency} items at a time."
            found.append(LimitLoad("concurrency_limit", detail, None, limits.concurrency))
        self._limits += found
        return tuple(range(len(self._limits) - len(found), len(self._limits)))


def destinations_for_each(batches: int) -> int:
    """Return how many destinations of each batch are simulated one by one."""
    return max(_LEAST_PER_BATCH, MAX_STRANDS // max(1, batches))

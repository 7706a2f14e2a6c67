"""A simulated cluster on a clock of its own: workers, destinations with rates and failures, batches that come and go.

It knows nothing of the forecasts: items are dispatched one by one, durations are drawn, destinations become slower and
faster, and batches arrive at random. So its ends are what forecasts can be held against.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.dispatcher.domain.forecasting.load import BatchLoad, LimitLoad, Strand, WorkloadLoad
from services.dispatcher.domain.forecasting.service_times import ServiceTimes
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace

SLOTS = 16
TICK_S = 1.0
"""Seconds between two looks at the batches."""
_DRIFT_S, _DRIFT_KEPT, _DRIFT = 30.0, 0.85, 0.12
"""Interval in which destinations become slower or faster, and by how much in logarithms."""
_ARRIVAL_S = 22.0
"""Mean time between two batches."""
_ITEMS = (30, 160, 250)
"""Median number of items of a batch by priority: urgent ones are small."""


@dataclass(slots=True)
class Destination:
    """A destination of items. `again`: share of the calls that fail and are made again after about `again_s`."""

    name: str
    mean_s: float
    variation: float
    rate: float | None = None
    again: float = 0.0
    again_s: float = 0.0
    drift: float = 0.0
    """Logarithm of how much slower it is at present."""
    free_at: float = 0.0
    """Time at which its rate allows the next call."""


DESTINATIONS = (
    ("steady", 0.3, 0.3, None, 0.0, 0.0),
    ("ragged", 0.8, 1.2, None, 0.02, 4.0),
    ("limited", 0.2, 0.4, 6.0, 0.0, 0.0),
    ("flaky", 0.5, 0.6, None, 0.15, 6.0),
    ("slow", 3.0, 0.5, None, 0.03, 10.0),
)


@dataclass(slots=True, eq=False)
class SimulatedBatch:
    """A batch with what is left of it."""

    number: int
    load: BatchLoad
    items: int
    arrived_at: float
    waiting: dict[str, int]
    running: dict[str, int] = field(default_factory=dict)
    later: dict[str, deque[float]] = field(default_factory=dict)
    """Times at which items may run again, by destination."""
    served: float = 0.0
    """Items that were dispatched, and those that it was given at its start so that it overtakes nobody."""
    ended: int = 0

    @property
    def left(self) -> int:
        """Number of items that have not ended."""
        return self.items - self.ended


OnTick = Callable[["World"], None]
OnEnd = Callable[["World", SimulatedBatch], None]


class World:
    """The cluster. `on_tick` runs every second of its clock, `on_end` at the end of a batch."""

    def __init__(self, seed: int, on_tick: OnTick, on_end: OnEnd) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.batches: list[SimulatedBatch] = []
        self.service_times, self.pace = ServiceTimes(), WorkerPace()
        self.destinations = {name: Destination(name, *rest) for name, *rest in DESTINATIONS}
        self._on_tick, self._on_end = on_tick, on_end
        self._free = SLOTS
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = self._arrived = 0

    def run(self, batches: int) -> None:
        """Let so many batches arrive, and run until the last one has ended."""
        self._at(0.0, lambda: self._arrive(batches))
        self._at(TICK_S, self._tick)
        self._at(_DRIFT_S, self._drift)
        while self._arrived < batches or self.batches:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._dispatch()

    def load(self) -> WorkloadLoad:
        """Return the work that is left as the dispatcher sees it."""
        limits = {
            one.name: LimitLoad("rate_limit", f"The rate of {one.name}.", one.rate, spread=0.01, key=one.name)
            for one in self.destinations.values()
            if one.rate is not None
        }
        places = {name: place for place, name in enumerate(limits)}
        strands = []
        for number, batch in enumerate(self.batches):
            for name in self.destinations:
                shared = (places[name],) if name in places else ()
                service, running = self.service_times.of(name), batch.running.get(name, 0)
                if items := batch.waiting.get(name, 0) + running / 2:
                    strands.append(Strand(number, items, service, shared, running))
                if due := batch.later.get(name):
                    waits = [max(0.0, at - self.now) for at in due]
                    if len(waits) > 1:
                        mean_s = sum(waits) / len(waits)
                        strands.append(Strand(number, len(waits) - 1, service, shared, 0.0, mean_s))
                    strands.append(Strand(number, 1, service, shared, 0.0, max(waits)))
        slots, spread = self.pace.slots(SLOTS)
        return WorkloadLoad(slots, tuple(b.load for b in self.batches), tuple(strands), tuple(limits.values()), spread)

    def _at(self, at: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, happen))

    def _arrive(self, most: int) -> None:
        rng = self.random
        self._arrived += 1
        rank = rng.choice((1, 1, 1, 0, 2))
        items = max(20, min(1500, round(rng.lognormvariate(math.log(_ITEMS[rank]), 0.9))))
        names = rng.sample(list(self.destinations), rng.choice((1, 2, 2, 3)))
        shares = [rng.random() + 0.1 for _ in names]
        waiting = {name: max(1, round(items * share / sum(shares))) for name, share in zip(names, shares, strict=True)}
        load = BatchLoad("ann", rank, rng.choice((1, 1, 2, 5)))
        batch = SimulatedBatch(self._arrived, load, sum(waiting.values()), self.now, waiting)
        batch.served = load.weight * min((one.served / one.load.weight for one in self.batches), default=0.0)
        self.batches.append(batch)
        if self._arrived < most:
            self._at(self.now + rng.expovariate(1 / _ARRIVAL_S), lambda: self._arrive(most))

    def _tick(self) -> None:
        is_busy = self._free == 0 and sum(sum(batch.waiting.values()) for batch in self.batches) > SLOTS
        self.pace.look(self.now, SLOTS, self.service_times.mean_s, is_busy=is_busy)
        self._on_tick(self)
        self._at(self.now + TICK_S, self._tick)

    def _drift(self) -> None:
        for one in self.destinations.values():
            one.drift = _DRIFT_KEPT * one.drift + self.random.gauss(0, _DRIFT)
        self._at(self.now + _DRIFT_S, self._drift)

    def _dispatch(self) -> None:
        while self._free > 0:
            chosen = self._choose()
            if chosen is None:
                return
            self._start(*chosen)

    def _choose(self) -> tuple[SimulatedBatch, Destination] | None:
        """Return the batch that is next, by priority and by weight, with the destination of its next item."""
        order = sorted(self.batches, key=lambda one: (one.load.rank, one.served / one.load.weight))
        for batch in order:
            names = [name for name, count in batch.waiting.items() if count]
            self.random.shuffle(names)
            for name in names:
                one = self.destinations[name]
                if one.rate is None or one.free_at <= self.now:
                    return batch, one
        return None

    def _start(self, batch: SimulatedBatch, one: Destination) -> None:
        self._free -= 1
        batch.waiting[one.name] -= 1
        batch.running[one.name] = batch.running.get(one.name, 0) + 1
        batch.served += 1
        if one.rate is not None:
            one.free_at = max(self.now, one.free_at) + 1 / one.rate
            self._at(one.free_at, lambda: None)
        deviation = math.sqrt(math.log1p(one.variation**2))
        seconds = one.mean_s * math.exp(self.random.gauss(one.drift - deviation**2 / 2, deviation))
        fails = self.random.random() < one.again
        self._at(self.now + seconds, lambda: self._end(batch, one, seconds, fails=fails))

    def _end(self, batch: SimulatedBatch, one: Destination, seconds: float, *, fails: bool) -> None:
        self._free += 1
        batch.running[one.name] -= 1
        wait_s = one.again_s * (0.5 + self.random.random()) if fails else 0.0
        self.service_times.record(one.name, 1, seconds, int(fails), wait_s)
        self.pace.record(1, seconds)
        if fails:
            due = batch.later.setdefault(one.name, deque())
            due.append(self.now + wait_s)
            self._at(self.now + wait_s, lambda: self._run_again(batch, one.name))
            return
        batch.ended += 1
        if not batch.left:
            self.batches.remove(batch)
            self._on_end(self, batch)

    def _run_again(self, batch: SimulatedBatch, name: str) -> None:
        due = batch.later[name]
        due.remove(min(due))
        batch.waiting[name] = batch.waiting.get(name, 0) + 1

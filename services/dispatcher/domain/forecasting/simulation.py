"""Simulates all batches of one workload together, in many draws, until the last one has ended.

Items flow: a strand runs at the rate that fairness and limits give it, until its items have run, or another strand
begins or ends. The draws differ in the durations of items, as far as these are known, in what the workers and the
destinations manage, in the items that run again, and in those that run last. The first draw has the means alone, and
gives the reasons.
"""

from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from services.dispatcher.domain.forecasting.calibration import HIGH, LOW, MIDDLE, Interval
from services.dispatcher.domain.forecasting.fair_rates import OWN, SLOTS, Flags, Floats, Shares, fair_rates
from services.dispatcher.domain.forecasting.load import RUNS_ITS_ITEMS, WAITS_FOR_WORKERS, Service, WorkloadLoad

DRAWS = 100
_MAX_VARIATION = 3.0
"""Largest ratio of deviation and mean of a duration that is believed."""
_MIN_SPREAD = 0.01
_MAX_LAST = 16
"""Items that run at the end of a strand of which the longest is looked for."""
_MAX_RUNS_AGAIN = 4
_MIN_ITEMS = 1e-6
NEVER_S = 1e9
"""Seconds after which an end counts as never."""


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """The simulated end of one batch."""

    seconds: Floats
    """Seconds until the end by draw, in order; infinite where there is none."""
    limit: int | None
    """Place in `WorkloadLoad.limits` of the limit that binds longest; None: no limit does."""
    reason: tuple[str, str]
    """Code and detail of what binds longest."""
    earliest_s: float = 0.0
    """Seconds before which no draw may end, since items are due then."""

    @property
    def interval(self) -> Interval:
        """The interval that the draws make."""
        return Interval(self.quantile(LOW), self.quantile(MIDDLE), self.quantile(HIGH), self.earliest_s)

    def quantile(self, share: float) -> float:
        """Return the seconds by which a share of the draws has ended."""
        return float(self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))])


def simulate(load: WorkloadLoad, seed: int, draws: int = DRAWS) -> Generator[None, None, list[BatchEnd]]:
    """Return the end of each batch. Yields between its steps, each of which is short."""
    if not load.strands:
        return [BatchEnd(np.zeros(1), None, RUNS_ITS_ITEMS) for _ in load.batches]
    run = _Run(load, np.random.default_rng(seed), draws)
    yield
    while (yield from run.step()):
        yield
    return run.ends()


class _Run:
    def __init__(self, load: WorkloadLoad, rng: np.random.Generator, draws: int) -> None:
        self._load, self._rng, self._draws = load, rng, draws
        self._shares = Shares.of(load)
        strands, shape = load.strands, (draws, len(load.strands))
        spreads = np.array([_spread(strand.service, strand.items) for strand in strands])
        self._seconds = np.array([max(strand.service.mean_s, _MIN_ITEMS) for strand in strands]) * self._factors(
            spreads, shape
        )
        runs = np.array([strand.items / (1 - min(strand.service.again, 0.9)) for strand in strands])
        self._left = np.tile(runs, (draws, 1))
        self._own = np.maximum([max(strand.items, 1.0) for strand in strands], 1.0) / self._seconds
        self._ready = np.array([strand.ready_s for strand in strands])
        self._capacities = self._limits()
        self._clock = np.zeros(draws)
        self._ended = np.where(self._left > _MIN_ITEMS, np.inf, 0.0)
        self._rates = np.zeros(shape)
        """Rate of each strand in the step in which it ended."""
        self._held: list[defaultdict[int, float]] = [defaultdict(float) for _ in strands]
        """Seconds for which limits held each strand in the first draw."""
        self._steps = 2 * len(strands) + 8

    def _factors(self, spreads: Floats, shape: tuple[int, int]) -> Floats:
        factors = np.exp(self._rng.standard_normal(shape) * spreads)
        factors[0] = 1.0
        return factors

    def _limits(self) -> Floats:
        values, spreads = [self._load.slots], [self._load.slots_spread]
        for number, place in enumerate(self._shares.places, 1):
            limit = self._load.limits[place]
            value = limit.concurrency if self._shares.is_concurrency[number] else limit.per_second
            values.append(value or 0.0)
            spreads.append(0.0 if self._shares.is_concurrency[number] else limit.spread)
        return np.array(values) * self._factors(np.array(spreads), (self._draws, len(values)))

    def step(self) -> Generator[None, None, bool]:
        """Go on to the next moment at which a strand begins or ends, in each draw; False when there is none."""
        waiting = self._left > _MIN_ITEMS
        if self._steps <= 0 or not waiting.any():
            return False
        self._steps -= 1
        has_begun = self._clock[:, None] >= self._ready
        active = waiting & has_begun
        rates, held = yield from fair_rates(self._shares, active, self._seconds, self._capacities, self._own)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.where(active & (rates > 0), self._left / rates, np.inf)
            begins = np.where(waiting & ~has_begun, self._ready - self._clock[:, None], np.inf)
        took = np.minimum(ends.min(axis=1), begins.min(axis=1))
        if not np.isfinite(took).any():
            return False
        passed = np.where(np.isfinite(took), took, 0.0)
        self._record_held(held, active[0], float(passed[0]))
        self._clock = self._clock + passed
        has_ended = np.isfinite(took)[:, None] & (ends <= took[:, None] * (1 + 1e-9))
        self._left = np.where(has_ended, 0.0, self._left - np.where(active, rates, 0.0) * passed[:, None])
        self._ended = np.where(has_ended, self._clock[:, None], self._ended)
        self._rates = np.where(has_ended, rates, self._rates)
        begun = begins <= took[:, None]
        self._clock = np.maximum(self._clock, np.where(begun, self._ready, 0.0).max(axis=1))  # without rounding error
        return True

    def _record_held(self, held: list[int | None], active: Flags, seconds: float) -> None:
        for strand, limit in enumerate(held):
            if active[strand] and limit is not None:
                self._held[strand][limit] += seconds

    def ends(self) -> list[BatchEnd]:
        """Return the end of each batch: of its strand that ends last."""
        found = []
        for number in range(len(self._load.batches)):
            own = np.flatnonzero(self._shares.batch_of == number)
            if not len(own):
                found.append(BatchEnd(np.zeros(1), None, RUNS_ITS_ITEMS))
                continue
            last = int(own[np.argmax(self._ended[0, own])])
            late = own[self._ended[0, own] >= self._ended[0, last] / 2]
            ends = self._ended[:, own].max(axis=1)
            for strand in late[:8]:
                ends = np.maximum(ends, self._ended[:, strand] + self._last_items(int(strand)))
            ends = np.where(ends < NEVER_S, ends, np.inf)
            found.append(BatchEnd(np.sort(ends), *self._reason(last), float(self._ready[own].max())))
        return found

    def _last_items(self, number: int) -> Floats:
        """Return the seconds by which the last items of a strand end later than the flow: those that run longest, and
        those that run again."""
        strand, seconds = self._load.strands[number], self._seconds[:, number]
        service, rates = strand.service, self._rates[:, number]
        at_once = float(np.median(rates * seconds))
        count = int(np.clip(round(at_once), 1, min(_MAX_LAST, max(1, round(strand.items)))))
        deviation = _log_deviation(service)
        rests = self._rng.random((self._draws, count)) * np.exp(
            deviation * (self._rng.standard_normal((self._draws, count)) + deviation) - deviation**2 / 2
        )
        later = seconds * (rests.max(axis=1) - rests.mean(axis=1))
        if strand.running < 1 and at_once < 0.9 * strand.items:  # the first item ends only after its whole duration
            later = later + (0.0 if self._longest(number)[0] == SLOTS else seconds)
        return np.asarray(later + self._runs_again(service, rates, strand.items))

    def _runs_again(self, service: Service, rates: Floats, items: float) -> Floats:
        """Return the seconds that items wait which fail near the end of their strand and run again."""
        later = np.zeros(self._draws)
        if service.again <= 0 or service.again_s <= 0:
            return later
        near = np.clip(rates * service.again_s, 1.0, max(1.0, items)) * service.again
        goes_on = np.ones(self._draws, dtype=bool)
        for _ in range(_MAX_RUNS_AGAIN):
            goes_on &= self._rng.random(self._draws) < 1 - np.exp(-near)
            later = later + np.where(goes_on, (service.again_s + service.mean_s) * near / (1 + near), 0.0)
            near = near * service.again
        return later

    def _longest(self, number: int) -> tuple[int, float]:
        """Return what held a strand longest in the first draw, and the seconds."""
        return max(self._held[number].items(), key=lambda one: one[1], default=(OWN, 0.0))

    def _reason(self, number: int) -> tuple[int | None, tuple[str, str]]:
        strand = self._load.strands[number]
        limit, seconds = self._longest(number)
        if strand.held and strand.ready_s > seconds:
            return None, strand.held
        if limit == OWN:
            return None, RUNS_ITS_ITEMS
        if limit == SLOTS:
            return None, WAITS_FOR_WORKERS
        place = self._shares.places[limit - 1]
        return place, (self._load.limits[place].code, self._load.limits[place].detail)


def _spread(service: Service, items: float) -> float:
    """Return the deviation of the logarithm of a mean duration: few runs are behind it, or before it."""
    variation = min(_MAX_VARIATION, service.deviation_s / service.mean_s) if service.mean_s > 0 else 0.0
    return float(max(_MIN_SPREAD, variation * np.sqrt(1 / max(1.0, service.outcomes) + 1 / max(1.0, items))))


def _log_deviation(service: Service) -> float:
    """Return the deviation of the logarithm of a duration, if durations are distributed log-normally."""
    variation = min(_MAX_VARIATION, service.deviation_s / service.mean_s) if service.mean_s > 0 else 0.0
    return float(np.sqrt(np.log1p(variation**2)))

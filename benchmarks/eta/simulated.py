"""Scores forecasts over many batches on a simulated clock, the seed of which makes them repeatable."""

from dataclasses import dataclass, field

from benchmarks.eta.world import SimulatedBatch, World
from services.dispatcher.domain.forecasting.reasons import MIN_OUTCOMES
from services.dispatcher.domain.forecasting.score import Score
from services.dispatcher.domain.forecasting.simulation import simulate
from services.dispatcher.domain.forecasting.track_record import STAGES, TrackRecord, stage_of
from tests.support.steps import value_of

WARM_UP = 40
"""Batches that come before those that are scored."""


@dataclass(slots=True)
class SimulatedScore:
    """The scores of all forecasts, and of those of each stage."""

    all: Score = field(default_factory=Score)
    by_stage: dict[str, Score] = field(default_factory=lambda: {name: Score() for name, _ in STAGES})
    compared: Score = field(default_factory=Score)
    """Score of those that the linear guess can be held against."""
    batches: int = 0


def score_simulated(seed: int, batches: int, warm_up: int = WARM_UP) -> SimulatedScore:
    """Return the scores of the forecasts of `batches` batches, after those of the warm-up."""
    scorer = _Scorer(warm_up)
    World(seed, scorer.on_tick, scorer.on_end).run(warm_up + batches)
    return scorer.found


class _Scorer:
    """Makes a forecast whenever a batch comes to a stage at which it is scored."""

    def __init__(self, warm_up: int) -> None:
        self.found = SimulatedScore()
        self._warm_up = warm_up
        self._record = TrackRecord()
        self._told: set[tuple[int, str]] = set()

    def on_tick(self, world: World) -> None:
        due = {(batch.number, _stage(batch)) for batch in world.batches} - self._told
        if not due or world.service_times.outcomes < MIN_OUTCOMES:
            return
        self._told |= due
        ends = value_of(simulate(world.load(), seed=round(world.now)))
        for batch, end in zip(world.batches, ends, strict=True):
            self._record.tell(batch.number, ("simulated", str(batch.load.rank)), end.interval, batch.left, world.now)

    def on_end(self, world: World, batch: SimulatedBatch) -> None:
        scored = self._record.end(batch.number, world.now)
        if batch.number <= self._warm_up:
            return
        self.found.batches += 1
        for one in scored:
            told, linear_s = one.told.told, one.told.linear_s
            for score in (self.found.all, self.found.by_stage[one.stage]):
                score.add(told, one.actual_s, linear_s or 0.0, one.whole_s)
            if linear_s is not None:
                self.found.compared.add(told, one.actual_s, linear_s, one.whole_s)


def _stage(batch: SimulatedBatch) -> str:
    return stage_of(batch.ended / batch.items)

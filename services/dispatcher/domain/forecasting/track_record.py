"""Remembers what was forecast of each batch, at its start and at 10, 50 and 90 percent, until the batch has ended."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.dispatcher.domain.forecasting.calibration import Calibration, Interval

STAGES = (("90", 0.9), ("50", 0.5), ("10", 0.1), ("start", 0.0))
"""Names of the moments at which a forecast is scored, with the share of the items that have ended, the last first."""
_GROWTH = 1.02
"""Growth of the number of items after which a batch is scored anew, since no forecast can know of later items."""


def stage_of(done: float) -> str:
    """Return the name of the stage of a batch of which a share of the items has ended."""
    return next((name for name, share in STAGES if done >= share), STAGES[-1][0])


Kind = tuple[str, str]
"""Workload and priority of a batch: forecasts of one kind are off in the same way."""


class Told(NamedTuple):
    """A forecast that was told at a time, as simulated and as calibrated."""

    at: float
    simulated: Interval
    told: Interval
    linear_s: float | None
    """Seconds to the end if the rest takes as long, for each item, as what is done; None: nothing is."""


class Scored(NamedTuple):
    """A forecast with the end that came."""

    stage: str
    told: Told
    actual_s: float
    whole_s: float


@dataclass(slots=True)
class _Batch:
    kind: Kind
    began_at: float
    items: float
    told: dict[str, Told] = field(default_factory=dict)


@dataclass(slots=True)
class TrackRecord:
    """Forecasts of running batches, and how far earlier ones were off. Times are seconds of the caller's clock."""

    _batches: dict[Hashable, _Batch] = field(default_factory=dict)
    _calibrations: dict[tuple[Kind, str], Calibration] = field(default_factory=dict)

    def tell(self, key: Hashable, kind: Kind, simulated: Interval, left: float, now: float) -> Interval:
        """Return the calibrated forecast of a batch with `left` items, and remember it if it is to be scored."""
        batch = self._batches.get(key)
        if batch is None or left > batch.items * _GROWTH:
            batch = self._batches[key] = _Batch(kind, now, left)
        done = max(0.0, 1 - left / batch.items) if batch.items else 1.0  # below 0 when it has grown a little
        stage = stage_of(done)
        told = self._calibration(kind, stage).apply(simulated)
        if stage not in batch.told and simulated.is_known:
            linear_s = (now - batch.began_at) * (1 - done) / done if done > 0 else None
            batch.told[stage] = Told(now, simulated, told, linear_s)
        return told

    def at_start(self, kind: Kind, simulated: Interval) -> Interval:
        """Return the calibrated forecast of a batch of a kind before it starts."""
        return self._calibration(kind, STAGES[-1][0]).apply(simulated)

    def end(self, key: Hashable, now: float) -> list[Scored]:
        """Score the forecasts of a batch that has ended, and learn from them."""
        batch = self._batches.pop(key, None)
        if batch is None:
            return []
        found = [Scored(stage, told, now - told.at, now - batch.began_at) for stage, told in batch.told.items()]
        for scored in found:
            self._calibration(batch.kind, scored.stage).record(scored.told.simulated, scored.actual_s)
        return found

    def forget(self, key: Hashable) -> None:
        """Forget a batch that was paused, changed or stopped, so that its end says nothing of the forecasts."""
        self._batches.pop(key, None)

    @property
    def calibrations(self) -> Mapping[tuple[Kind, str], Calibration]:
        """Errors of earlier forecasts, by kind and stage."""
        return self._calibrations

    def calibrate(self, kind: Kind, stage: str, calibration: Calibration) -> None:
        """Take over errors of earlier forecasts."""
        self._calibrations[kind, stage] = calibration

    def _calibration(self, kind: Kind, stage: str) -> Calibration:
        return self._calibrations.setdefault((kind, stage), Calibration())

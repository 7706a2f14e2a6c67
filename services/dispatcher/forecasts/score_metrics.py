"""Counts in metrics how good the forecasts were, once the ends of their batches have come."""

from services.dispatcher.domain.forecasting.score import Score
from services.dispatcher.domain.forecasting.track_record import Scored
from shared.observability import metrics

_ends = metrics.counter(
    "batchyard.forecast.ends",
    "Ends of batches by their place in the interval that was forecast: before p10, inside, or after p90; `stage`: "
    "percent of the items that had ended then.",
)
_losses = metrics.counter(
    "batchyard.forecast.loss",
    "Pinball loss of forecasts in parts of the duration of their batches, by `guess`: interval, or linear.",
)


def count_scored(workload: str, scored: Scored) -> None:
    """Count a forecast."""
    told, actual_s = scored.told.told, scored.actual_s
    place = "before_p10" if actual_s < told.p10 else "inside" if actual_s <= told.p90 else "after_p90"
    _ends.add(1, {"workload": workload, "stage": scored.stage, "place": place})
    if scored.told.linear_s is not None:
        score = Score()
        score.add(told, actual_s, scored.told.linear_s, scored.whole_s)
        _losses.add(score.loss, {"workload": workload, "guess": "interval"})
        _losses.add(score.linear_loss, {"workload": workload, "guess": "linear"})

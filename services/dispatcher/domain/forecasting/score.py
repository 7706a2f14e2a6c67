"""Scores forecasts against the ends that came: how many ends an interval held, and the pinball loss.

The pinball loss of a quantile is smallest if that share of ends comes before it (Koenker and Bassett 1978). It is
counted in parts of the time that the batch took, so that long batches weigh no more than short ones.
"""

from dataclasses import dataclass

from services.dispatcher.domain.forecasting.calibration import HIGH, LOW, MIDDLE, Interval


def pinball(share: float, told_s: float, actual_s: float) -> float:
    """Return the loss of a time before which a share of the ends is to come."""
    difference = actual_s - told_s
    return max(share * difference, (share - 1) * difference)


def interval_loss(told: Interval, actual_s: float) -> float:
    """Return the mean loss of the three times of a forecast."""
    losses = (pinball(LOW, told.p10, actual_s), pinball(MIDDLE, told.p50, actual_s), pinball(HIGH, told.p90, actual_s))
    return sum(losses) / len(losses)


@dataclass(slots=True)
class Score:
    """Sum of the scores of forecasts, each of a batch at one moment."""

    forecasts: int = 0
    under_p90: int = 0
    inside: int = 0
    """Number of ends between p10 and p90."""
    loss: float = 0.0
    linear_loss: float = 0.0
    """Loss of the guess that the rest takes as long, for each item, as what is done."""

    def add(self, told: Interval, actual_s: float, linear_s: float, whole_s: float) -> None:
        """Add a forecast of `actual_s` seconds to the end; `whole_s`: seconds that the batch took."""
        self.forecasts += 1
        self.under_p90 += actual_s <= told.p90
        self.inside += told.p10 <= actual_s <= told.p90
        self.loss += interval_loss(told, actual_s) / max(whole_s, 1e-3)
        self.linear_loss += interval_loss(Interval(linear_s, linear_s, linear_s), actual_s) / max(whole_s, 1e-3)

    @property
    def share_under_p90(self) -> float:
        """Share of the ends that came before p90."""
        return self.under_p90 / max(1, self.forecasts)

    @property
    def share_inside(self) -> float:
        """Share of the ends between p10 and p90."""
        return self.inside / max(1, self.forecasts)

    @property
    def gain(self) -> float:
        """Part of the loss of the linear guess that is saved."""
        return 1 - self.loss / self.linear_loss if self.linear_loss else 0.0

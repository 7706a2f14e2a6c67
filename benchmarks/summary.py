"""Summary of a list of samples: the middle, both ends, and the worst hundredth."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Samples of one quantity, in the unit of the figure that they belong to."""

    samples: int
    median: float
    low: float
    high: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Summary":
        """Summarize samples; raises `ValueError` when there are none."""
        if not samples:
            raise ValueError("There are no samples: nothing was measured.")
        return cls(len(samples), statistics.median(samples), min(samples), max(samples), percentile(samples, 0.99))

    def document(self) -> dict[str, float]:
        """Return the summary as JSON has it."""
        return {
            "samples": self.samples,
            "median": _short(self.median),
            "min": _short(self.low),
            "max": _short(self.high),
            "p99": _short(self.p99),
        }


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share of all samples does not exceed (nearest rank)."""
    rank = max(1, math.ceil(share * len(samples)))
    return sorted(samples)[rank - 1]


def _short(value: float) -> float:
    """Return a number with four significant digits."""
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)

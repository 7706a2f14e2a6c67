"""The feedback of a destination within a short time: answered calls, their response times, and unanswered calls."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import DestinationFeedback


@dataclass(slots=True)
class SampleWindow:
    """The sums of one window. Times are seconds of the caller's clock."""

    started_at: float
    answered: int = 0
    rate_limited: int = 0
    unanswered: int = 0
    timed: int = 0
    """Number of answers whose response time is known."""
    _medians: list[tuple[float, int]] = field(default_factory=list)

    def add(self, feedback: DestinationFeedback) -> None:
        """Add the feedback of some items."""
        self.answered += feedback.answered
        self.rate_limited += feedback.rate_limited
        self.unanswered += feedback.unanswered
        if feedback.median_ms is not None and feedback.answered:
            self.timed += feedback.answered
            self._medians.append((feedback.median_ms, feedback.answered))

    @property
    def median_ms(self) -> float:
        """Median of the reported medians, weighted by their answers, so that one delayed group does not count for the
        others."""
        passed = 0
        for median, count in sorted(self._medians):
            passed += count
            if 2 * passed >= self.timed:
                return median
        return 0.0

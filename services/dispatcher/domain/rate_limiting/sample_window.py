"""The feedback of a destination within a short time: answered calls, their response times, and unanswered calls."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import DestinationFeedback
from services.dispatcher.domain.rate_limiting.bounds import MAX_COUNT, MAX_SECONDS, clamp


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
        answered = min(MAX_COUNT, feedback.answered)
        self.answered += answered
        self.rate_limited += min(MAX_COUNT, feedback.rate_limited)
        self.unanswered += min(MAX_COUNT, feedback.unanswered)
        if feedback.median_ms is not None and answered:
            self.timed += answered
            self._medians.append((clamp(feedback.median_ms, 0.0, 1000 * MAX_SECONDS), answered))

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

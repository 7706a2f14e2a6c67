"""What was felt at a destination within a moment: how many calls were answered, how quickly, and how many were not."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import DestinationFeedback


@dataclass(slots=True)
class SampleWindow:
    """Times are seconds of the caller's clock."""

    started_at: float
    answered: int = 0
    rate_limited: int = 0
    unanswered: int = 0
    timed: int = 0
    """Answers whose time is known."""
    _medians: list[tuple[float, int]] = field(default_factory=list)

    def add(self, feedback: DestinationFeedback) -> None:
        """Take in what some items felt."""
        self.answered += feedback.answered
        self.rate_limited += feedback.rate_limited
        self.unanswered += feedback.unanswered
        if feedback.median_ms is not None and feedback.answered:
            self.timed += feedback.answered
            self._medians.append((feedback.median_ms, feedback.answered))

    @property
    def median_ms(self) -> float:
        """The median of those that were told, by their weight: a group that was held up says nothing of the others."""
        passed = 0
        for median, count in sorted(self._medians):
            passed += count
            if 2 * passed >= self.timed:
                return median
        return 0.0

"""The progress that unfinished items report about themselves."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.report import Report

_NOT_TERMINAL = frozenset({"continued", "retry"})
_MAX_ITEMS = 10_000
"""Items tracked per batch; beyond that, the share of a single item hardly matters."""


@dataclass(slots=True)
class PartialProgress:
    """Progress that the unfinished items of one round report; kept in memory, since each run reports it again."""

    round: int
    shares: dict[int, float] = field(default_factory=dict)
    """Completed share of the item's work, by ordinal."""

    def update(self, report: Report | ItemsSettled) -> None:
        """Take over the progress in a report, and drop items that have ended."""
        if isinstance(report, ItemsSettled):
            for item in report.items:
                self.shares.pop(item.ordinal, None)
            return
        for outcome in report.outcomes:
            if outcome.status not in _NOT_TERMINAL:
                self.shares.pop(outcome.ordinal, None)
            elif outcome.progress is not None and (outcome.ordinal in self.shares or len(self.shares) < _MAX_ITEMS):
                self.shares[outcome.ordinal] = outcome.progress

    def overall_share(self, ended: int, total: int | None) -> float | None:
        """Return the completed share of the batch; None if no item reports its own progress."""
        if not self.shares or not total:
            return None
        return round(min(1.0, (ended + sum(self.shares.values())) / total), 3)

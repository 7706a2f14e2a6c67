"""How far the items of a batch are that have not ended, as far as they tell."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.report import Report

_NOT_TERMINAL = frozenset({"continued", "retry"})
_MAX_ITEMS = 10_000
"""Items of a batch that are kept in mind: where there are more, each says little."""


@dataclass(slots=True)
class PartialProgress:
    """Of one round. What is lost of it is told again with the next run of each item."""

    round: int
    shares: dict[int, float] = field(default_factory=dict)
    """By ordinal: the share of the item's work that is shares."""

    def update(self, report: Report | ItemsSettled) -> None:
        """What runs came to, and what ended without one."""
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
        """How much of a batch is done; None where nothing tells more than its counts do."""
        if not self.shares or not total:
            return None
        return round(min(1.0, (ended + sum(self.shares.values())) / total), 3)

"""Counters of a batch's items by terminal status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class OutcomeCounters:
    """Numbers of items by terminal status."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    duplicate: int = 0
    cached: int = 0
    """Succeeded items that reused a cached result."""
    units: int = 0
    """Units in the results of succeeded items, if they are counted."""

    @classmethod
    def of(cls, statuses: Mapping[str, int] | Iterable[tuple[str, int]]) -> Self:
        """Build counters from numbers by status (and `cached`); raise `TypeError` for a status that is not terminal."""
        return cls(**dict(statuses))

    def __add__(self, other: "OutcomeCounters") -> "OutcomeCounters":
        return OutcomeCounters(
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.expired + other.expired,
            self.duplicate + other.duplicate,
            self.cached + other.cached,
            self.units + other.units,
        )

    @property
    def ended(self) -> int:
        """Items in a terminal state."""
        return self.succeeded + self.failed + self.cancelled + self.expired + self.duplicate

    @property
    def unsuccessful(self) -> int:
        """Items that a retry runs again."""
        return self.failed + self.cancelled + self.expired

    def __sub__(self, other: "OutcomeCounters") -> "OutcomeCounters":
        return OutcomeCounters(
            self.succeeded - other.succeeded,
            self.failed - other.failed,
            self.cancelled - other.cancelled,
            self.expired - other.expired,
            self.duplicate - other.duplicate,
            self.cached - other.cached,
            self.units - other.units,
        )

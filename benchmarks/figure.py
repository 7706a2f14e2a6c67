"""A figure: a measured quantity, its samples, and its target."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.summary import Summary

Statistic = Literal["median", "p99", "high"]
_NAMES: dict[Statistic, str] = {"median": "median", "p99": "p99", "high": "max"}


@dataclass(frozen=True, slots=True)
class Target:
    """The limit that a figure has to stay below."""

    statistic: Statistic
    below: float

    def met_by(self, summary: Summary) -> bool:
        """Return True when the samples are good enough."""
        value: float = getattr(summary, self.statistic)
        return value < self.below

    def text(self, unit: str) -> str:
        """Return the limit as text."""
        return f"{_NAMES[self.statistic]} < {self.below:,g} {unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    title: str
    unit: str
    summary: Summary
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Return True when the target is met; None where there is none."""
        return None if self.target is None else self.target.met_by(self.summary)

    def document(self) -> dict[str, Any]:
        """Return the figure as JSON has it."""
        target = None
        if self.target is not None:
            target = {"statistic": _NAMES[self.target.statistic], "below": self.target.below, "met": self.met}
        return {"title": self.title, "unit": self.unit, **self.summary.document(), "target": target}

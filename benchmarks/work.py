"""Common work of Batchyard and its peers, and the check of each run."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["square", "nap"]
NAP_S = 0.05
"""Duration of an item of the kind `nap`, in seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """Batches that are submitted together, mostly one: the squares of 0 to items - 1, at once or each after a nap."""

    kind: Kind
    items: int
    """Items of each batch."""
    batches: int = 1

    @property
    def results(self) -> int:
        """Return the expected number of results."""
        return self.items * self.batches

    @property
    def sum(self) -> int:
        """Return the expected sum of the results."""
        n = self.items
        return self.batches * ((n - 1) * n * (2 * n - 1) // 6)

    @property
    def name(self) -> str:
        """Return the name of the work in tables and documents."""
        return NAMES[self]


TEN = Work("square", 10_000)
HUNDRED = Work("square", 100_000)
MILLION = Work("square", 1_000_000)
NAPS = Work("nap", 1_000)
WARM_UP = Work("square", 2_000)
SINGLE = Work("square", 1)
ONES = Work("square", 1, batches=1_000)
TENS = Work("square", 10, batches=1_000)
NAPS_AT_ONCE = 100
NAPS_IDEAL_S = NAPS.items * NAP_S / NAPS_AT_ONCE
NAMES = {
    TEN: "10k",
    HUNDRED: "100k",
    MILLION: "1m",
    NAPS: "naps",
    WARM_UP: "warm-up",
    SINGLE: "single",
    ONES: "ones",
    TENS: "tens",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a work."""

    seconds: float
    """From the start of submitting until the completion was known and every result could be read."""
    count: int
    sum: int
    submit_s: float | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Seconds of processor time by role."""
    resident_mb: dict[str, float] = field(default_factory=dict)
    """Highest resident memory by role, without servers; Batchyard's client is not in it, a peer's submitter is."""
    others_share: float = 0.0
    """Share of the machine's processors that went to programs that have no part in it: a large one spoils the run."""


class WrongResults(Exception):
    """A run that does not count: it lost, doubled or mixed up results."""


def check(work: Work, run: Run) -> Run:
    """Return the run if each item has its correct result once; raises `WrongResults`."""
    if (run.count, run.sum) != (work.results, work.sum):
        raise WrongResults(
            f"{work.results} items have to give {work.results} results with the sum {work.sum}; "
            f"there were {run.count} with the sum {run.sum}."
        )
    return run

"""Holds rates of the same run against each other: the targets that no change of machine can move."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.summary import Summary


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much faster `one` has to be than `other`, by their medians."""

    title: str
    one: str
    other: str
    at_least: float

    def of(self, rates: Mapping[str, Summary]) -> float | None:
        """The ratio that was measured; None when one of the two was not."""
        if self.one not in rates or self.other not in rates:
            return None
        return rates[self.one].median / rates[self.other].median


RATIOS = (
    Ratio("10k trivial items, against Celery's best with an outcome per item", "batchyard_10k", "celery_10k", 30),
    Ratio("10k trivial items, against Celery chunks(100)", "batchyard_10k", "celery_chunks_100_10k", 1),
    Ratio("10k trivial items, against Celery chunks(1000)", "batchyard_10k", "celery_chunks_1000_10k", 1),
    Ratio("100k trivial items, against the bare chunk pipeline", "batchyard_100k", "chunk_limit_100_100k", 0.5),
    Ratio("1,000 naps of 50 ms, against the ideal of 0.5 s", "batchyard_naps", "ideal_naps", 1 / 1.2),
    Ratio("1,000 naps of 50 ms, against Celery", "batchyard_naps", "celery_naps", 1),
    Ratio("one item, idle, against Celery (a rate: 1 / p50)", "batchyard_single", "celery_single", 1),
)
"""What has to hold, by the names of `comparison`."""

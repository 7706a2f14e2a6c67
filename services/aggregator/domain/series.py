"""Points of a chart from samples: the items that ended in spans of time, and how long they took."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

_BUCKETS_PER_DOUBLING = 4
MAX_BUCKET = 4 * 32
"""Bucket of the longest durations: 2**32 ms, 50 days."""
_KINDS = 3


class Sample(NamedTuple):
    """Items of a batch, or of an owner, that ended after `from_at` and until `at`."""

    from_at: datetime
    at: datetime
    succeeded: int
    failed: int
    other: int
    durations: Sequence[int]
    """Number of items by the bucket of their duration; of the items of a large message some are counted."""
    destinations: Mapping[str, Mapping[int, int]] = {}
    """Numbers of items by destination and bucket, for the destinations of a batch that had most items."""


class Point(NamedTuple):
    """Items that ended in one step of time, each kind as items a second; durations in milliseconds."""

    at: datetime
    succeeded: float
    failed: float
    other: float
    p50_ms: float | None
    p95_ms: float | None


class DestinationPoints(NamedTuple):
    """Durations in milliseconds of items at one destination, by step of time."""

    partition: str
    p50_ms: list[float | None]
    p95_ms: list[float | None]


@dataclass(slots=True)
class _Step:
    counts: list[float] = field(default_factory=lambda: [0.0] * _KINDS)
    durations: dict[int, float] = field(default_factory=dict)


def bucket_of(duration_ms: int) -> int:
    """Return the bucket of a duration. Buckets grow by 19 %, so that their middle is within 10 % of each duration."""
    if duration_ms < 1:
        return 0
    return min(MAX_BUCKET, 1 + int(_BUCKETS_PER_DOUBLING * math.log2(duration_ms)))


def duration_of(bucket: int) -> float:
    """Return the middle of a bucket in milliseconds."""
    return 0.5 if bucket == 0 else float(2 ** ((bucket - 0.5) / _BUCKETS_PER_DOUBLING))


def points_of(samples: Iterable[Sample], start: datetime, end: datetime, count: int) -> list[Point]:
    """Return points at equal steps from `start` to `end`. A sample that covers several steps is shared out evenly."""
    step_s = (end - start).total_seconds() / count
    if step_s <= 0:
        return []
    steps = [_Step() for _ in range(count)]
    for sample in samples:
        for place, share in _shares(sample, start, step_s, count):
            _add(steps[place], sample, share)
    return [
        Point(
            start + timedelta(seconds=step_s * place),
            step.counts[0] / step_s,
            step.counts[1] / step_s,
            step.counts[2] / step_s,
            _percentile(step.durations, 0.5),
            _percentile(step.durations, 0.95),
        )
        for place, step in enumerate(steps)
    ]


def destinations_of(
    samples: Sequence[Sample], start: datetime, end: datetime, count: int, most: int
) -> list[DestinationPoints]:
    """Return the durations at the destinations that had most items, by the steps of `points_of`."""
    step_s = (end - start).total_seconds() / count
    if step_s <= 0:
        return []
    totals: Counter[str] = Counter()
    for sample in samples:
        totals.update({name: sum(durations.values()) for name, durations in sample.destinations.items()})
    steps: dict[str, list[dict[int, float]]] = {
        name: [{} for _ in range(count)] for name, _ in totals.most_common(most)
    }
    for sample in samples:
        for place, share in _shares(sample, start, step_s, count):
            for name, durations in sample.destinations.items():
                if name in steps:
                    _add_durations(steps[name][place], durations.items(), share)
    return [
        DestinationPoints(name, [_percentile(each, 0.5) for each in own], [_percentile(each, 0.95) for each in own])
        for name, own in steps.items()
    ]


def _shares(sample: Sample, start: datetime, step_s: float, count: int) -> Iterator[tuple[int, float]]:
    """Yield the steps that a sample covers, each with its share of the sample."""
    first = (sample.from_at - start).total_seconds() / step_s
    last = max((sample.at - start).total_seconds() / step_s, first)
    for place in range(max(0, int(first)), min(count, math.ceil(last) or 1)):
        yield place, 1.0 if last == first else (min(last, place + 1) - max(first, place)) / (last - first)


def _add(step: _Step, sample: Sample, share: float) -> None:
    for kind, number in enumerate((sample.succeeded, sample.failed, sample.other)):
        step.counts[kind] += number * share
    _add_durations(step.durations, enumerate(sample.durations), share)


def _add_durations(known: dict[int, float], new: Iterable[tuple[int, int]], share: float) -> None:
    for bucket, number in new:
        if number:
            known[bucket] = known.get(bucket, 0.0) + number * share


def _percentile(durations: Mapping[int, float], share: float) -> float | None:
    wanted = sum(durations.values()) * share
    for bucket, number in sorted(durations.items()):
        wanted -= number
        if wanted <= 0:
            return round(duration_of(bucket), 1)
    return None

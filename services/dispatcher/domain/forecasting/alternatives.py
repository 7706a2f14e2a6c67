"""Changes that may let a batch end in time: of its weight, of its own limits, and of those of its destinations."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from batchyard_contracts.v1.queries import Alternative
from batchyard_contracts.v1.values import MAX_CONCURRENCY, MAX_PER_SECOND
from services.dispatcher.domain.forecasting.load import WAITS_FOR_WORKERS, LimitLoad, WorkloadLoad
from services.dispatcher.domain.forecasting.simulation import BatchEnd

_WEIGHTS = (2, 5, 10, 30, 100)
_MARGINS = (1.05, 1.5, 3.0)
"""Factors beyond what a limit lacks in proportion that are tried."""
_MAX_FACTOR = 1000.0
Kind = Literal["weight", "rate", "concurrency", "destination_rate", "destination_concurrency"]


class Variant(NamedTuple):
    """The load with a change."""

    alternative: Alternative
    load: WorkloadLoad


def variants_of(load: WorkloadLoad, end: BatchEnd, lacking: float) -> Iterator[Variant]:
    """Yield changes of the first batch of a load, the smallest of each kind first.

    `lacking`: the time that the batch takes, as a multiple of that in which it is to end.
    """
    if end.limit is not None:
        yield from _wider_limits(load, end.limit, lacking)
    elif end.reason == WAITS_FOR_WORKERS:
        yield from _weights(load)


def _weights(load: WorkloadLoad) -> Iterator[Variant]:
    first, *others = load.batches
    for weight in _WEIGHTS:
        if others and weight > first.weight:
            detail = f"With a weight of {weight} nine of ten such batches end by the deadline."
            changed = (replace(first, weight=float(weight)), *others)
            yield Variant(Alternative(kind="weight", value=weight, detail=detail), replace(load, batches=changed))


def _wider_limits(load: WorkloadLoad, place: int, lacking: float) -> Iterator[Variant]:
    limit = load.limits[place]
    for margin in _MARGINS:
        factor = min(_MAX_FACTOR, max(1.0, lacking) * margin)
        if limit.code == "rate_limit" and limit.per_second:
            value = min(MAX_PER_SECOND, _rounded_up(limit.per_second * factor))
            if value <= limit.per_second:
                return
            changed = replace(limit, per_second=value)
            kind: Kind = "destination_rate" if limit.key else "rate"
            what = f"a rate of {value:g}/s"
        elif limit.concurrency:
            value = float(min(MAX_CONCURRENCY, round(limit.concurrency * factor + 0.5)))
            if value <= limit.concurrency:
                return
            changed = replace(limit, concurrency=value)
            kind = "destination_concurrency" if limit.key else "concurrency"
            what = f"a concurrency of {value:g}"
        else:
            return
        yield Variant(_alternative(limit, kind, value, what), _with_limit(load, place, changed))


def _alternative(limit: LimitLoad, kind: Kind, value: float, what: str) -> Alternative:
    of = f" of {limit.key}" if limit.key else ""
    detail = f"With {what}{of} nine of ten such batches end by the deadline."
    return Alternative(kind=kind, value=value, limit=limit.key or None, detail=detail)


def _with_limit(load: WorkloadLoad, place: int, limit: LimitLoad) -> WorkloadLoad:
    return replace(load, limits=(*load.limits[:place], limit, *load.limits[place + 1 :]))


def _rounded_up(value: float) -> float:
    """Return a rate with two digits that is no lower."""
    return float(f"{value * 1.049:.2g}")

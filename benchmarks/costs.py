"""Processor time for each item, by process."""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.work import Run, Work

Costs = dict[str, float]
"""Microseconds of processor time an item, by role, and their sum as `all`."""


def costs(work: Work, runs: Sequence[Run]) -> Costs:
    """Return the medians over the runs, of all roles."""
    roles = {role: None for run in runs for role in run.cpu_s}
    each = {role: _per_item(work, [run.cpu_s.get(role, 0.0) for run in runs]) for role in roles}
    return {**each, "all": _per_item(work, [sum(run.cpu_s.values()) for run in runs])}


def dearest(found: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return roles and their costs, the most expensive first, without their sum."""
    return sorted(((role, us) for role, us in found.items() if role != "all"), key=lambda pair: -pair[1])


def _per_item(work: Work, seconds: Sequence[float]) -> float:
    return round(median(seconds) / work.results * 1e6, 2)

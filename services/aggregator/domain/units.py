"""The units, such as records, in the results of items, for batches that count them."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.report import Report

_NOT_TERMINAL = {"retry", "continued"}


def units_by_item(
    reports: Iterable[Report | ItemsSettled], batches: Mapping[UUID, Batch]
) -> dict[UUID, dict[int, int]]:
    """Return units by batch and ordinal; the first outcome of each item counts."""
    found: dict[UUID, dict[int, int]] = {}
    for report in reports:
        batch = batches[report.batch_id]
        if (batch.header is not None and batch.header.unit is None) or not batch.is_open_for(report.round):
            continue
        units = found.setdefault(batch.batch_id, {})
        if isinstance(report, ItemsSettled):
            for item in report.items:
                units.setdefault(item.ordinal, 0)
            continue
        for outcome in report.outcomes:
            if outcome.status not in _NOT_TERMINAL:
                units.setdefault(outcome.ordinal, outcome.units or 0)
    return {batch_id: units for batch_id, units in found.items() if any(units.values())}

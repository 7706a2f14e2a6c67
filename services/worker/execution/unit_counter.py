"""Adds the number of units to each success, for workloads that count them."""

from collections.abc import Callable, Sequence

from batchyard_contracts.pointer import CompiledPointer
from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import Manifest
from services.worker.domain.outcome import Outcome

UnitCounter = Callable[[Sequence[Outcome]], Sequence[Outcome]]


def unit_counter(manifest: Manifest) -> UnitCounter | None:
    """Return the function that adds the numbers; None when the workload counts no units."""
    if manifest.unit is None:
        return None
    pointer = CompiledPointer(manifest.unit.count)
    return lambda outcomes: [_with_units(outcome, pointer) for outcome in outcomes]


def _with_units(outcome: Outcome, pointer: CompiledPointer) -> Outcome:
    if outcome.status != "succeeded":
        return outcome
    result = outcome.result
    units = pointer.find(result)
    if not isinstance(units, int) or isinstance(units, bool) or units <= 0:
        return outcome
    return ItemOutcome(
        ordinal=outcome.ordinal,
        custom_id=outcome.custom_id,
        status="succeeded",
        result=result,
        elapsed_ms=outcome.elapsed_ms,
        cached=outcome.cached,
        units=units,
    )

"""Tests of the units in results: each item counts once, in batches that count units."""

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import Units
from services.aggregator.domain import events
from services.aggregator.domain.batch import BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.units import units_by_item
from tests.support.ledger_messages import BATCH, START, at, batch, processed, received, settled

COUNTING = batch(header=BatchHeader("ann", "leads", START, unit="records"))


def _success(ordinal: int, units: int | None) -> ItemOutcome:
    return ItemOutcome(ordinal=ordinal, status="succeeded", units=units)


def _units(*messages: object) -> dict[int, int]:
    return units_by_item([received(message).message for message in messages], {BATCH: COUNTING})[BATCH]  # type: ignore[arg-type,misc]


def test_the_first_outcome_of_each_item_gives_its_units() -> None:
    again = ItemOutcome(ordinal=3, status="retry", units=5)
    first = processed({0: _success(0, 400), 1: _success(1, None), 3: again})
    assert _units(first, processed({0: _success(0, 7), 3: _success(3, 9)})) == {0: 400, 1: 0, 3: 9}
    assert _units(settled("cancelled", [0]), first, processed({2: _success(2, 1)})) == {0: 0, 1: 0, 2: 1}


def test_units_of_late_rounds_and_of_batches_without_a_unit_are_ignored() -> None:
    report = received(processed({0: _success(0, 400)}, round_=2)).message
    assert units_by_item([report], {BATCH: COUNTING}) == {}  # type: ignore[list-item]
    report = received(processed({0: _success(0, 400)})).message
    assert units_by_item([report], {BATCH: batch()}) == {}  # type: ignore[list-item]


def test_counts_contain_units_only_if_the_batch_counts_them() -> None:
    known = COUNTING.seal(2, 800).add_outcomes(OutcomeCounters(succeeded=1, units=400), at(1))
    assert events.counts(known).units == Units(name="records", done=400, total=800)
    assert events.counts(batch().seal(2).add_outcomes(OutcomeCounters(succeeded=1), at(1))).units is None
    assert known.reconcile(OutcomeCounters(succeeded=2)).counters == OutcomeCounters(succeeded=2, units=400)

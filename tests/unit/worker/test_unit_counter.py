"""A success carries the number of its units."""

import pytest

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.manifest import Manifest, Unit
from services.worker.domain.outcome import Success, encode_outcome
from services.worker.execution.unit_counter import unit_counter

NONE = Manifest(name="w", version="1", item_schema={}, result_schema={})
COUNTED = NONE.model_copy(update={"unit": Unit(name="records", count="/count")})


def test_no_result_is_decoded_for_a_workload_without_units() -> None:
    assert unit_counter(NONE) is None


@pytest.mark.parametrize(
    ("json", "units"),
    [
        (b'{"count":400}', 400),
        (b'{"count":0}', None),
        (b'{"count":"4"}', None),
        (b"[]", None),
    ],
)
def test_the_number_is_taken_from_the_result(json: bytes, units: int | None) -> None:
    count = unit_counter(COUNTED)
    assert count is not None
    failed = ItemOutcome(ordinal=1, status="failed")
    outcome, other = count([Success(0, "c", json, 12), failed])
    assert getattr(outcome, "units", None) == units
    assert other is failed
    again = ItemOutcome.model_validate_json(encode_outcome(outcome))
    assert (again.ordinal, again.custom_id, again.elapsed_ms, again.status) == (0, "c", 12, "succeeded")
    assert again.result == outcome.result

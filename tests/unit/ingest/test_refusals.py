"""A body that is no command is refused with a code, a word on what to do, and the item at fault."""

from typing import Any

import pytest
from pydantic import ValidationError

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.ingest.api.invalid_command import fault_of
from services.ingest.domain.fault import Fault
from services.ingest.domain.refused import Refused


def refusal(body: Any) -> Fault:
    read = BatchSubmit.model_validate_json if isinstance(body, bytes) else BatchSubmit.model_validate
    with pytest.raises(ValidationError) as caught:
        read(body)
    return fault_of(caught.value)


@pytest.mark.parametrize(
    ("body", "code", "status", "line"),
    [
        (b'{"workload":', "malformed_json", 400, None),
        ({"workload": "w", "items": [{"payload": {}}] * (MAX_ITEMS_PER_COMMAND + 1)}, "too_many_items", 422, None),
        ({"workload": "w", "items": [{"payload": {}}, {"payload": {}}, {}]}, "invalid_item", 422, 3),
        ({"workload": "w", "items": "many"}, "invalid_command", 422, None),
        ({"workload": "No"}, "invalid_command", 422, None),
        ({"workload": "w", "items": [{"payload": {}}], "source": {}}, "invalid_command", 422, None),
    ],
    ids=["no JSON", "too many items", "the third item", "no list", "another field", "a source and items"],
)
def test_the_code_names_the_cause_and_the_line_the_first_item_at_fault(
    body: Any, code: str, status: int, line: int | None
) -> None:
    found = refusal(body)
    assert (found.code, found.status, found.line) == (code, status, line)
    assert found.detail


def test_a_refusal_for_want_of_room_passes_and_any_other_does_not() -> None:
    assert Refused(Fault("too_many_waiting", "Later.", 429, retry_after_s=3.0)).passing
    refused = Refused(Fault("invalid_item", "No.", line=4))
    assert not refused.passing
    assert str(refused) == "invalid_item (line 4): No."

"""The audit shows the states around a command, and neither payloads nor values of patches."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchControl, BatchSubmit
from services.ingest.domain.audited_states import control_states
from services.ingest.domain.batch import BatchHeader

ID = UUID("019a2b3c-0000-7000-8000-000000000001")
SUBMITTED = BatchSubmit.model_validate({"workload": "w", "items": [{"payload": {}}], "weight": 3})
HEADER = BatchHeader.from_command(ID, "ann", SUBMITTED, "sealed", datetime(2026, 11, 30, tzinfo=UTC), None)


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ({"action": "cancel"}, {"state": "sealed", "round": 1}, {"action": "cancel"}),
        (
            {"action": "change", "priority": "low", "clear": ["weight"]},
            {"priority": "normal", "terms": {"weight": 3}},
            {"priority": "low", "clear": ["weight"]},
        ),
        (
            {
                "action": "retry",
                "select": {"codes": ["not_found"], "custom_ids": ["a-secret", "b"]},
                "patch": [{"op": "replace", "path": "/url", "value": "a-secret"}],
            },
            {"round": 1},
            {
                "round": 2,
                "items": 7,
                "select": {"codes": ["not_found"], "custom_ids": 2},
                "patch": [{"op": "replace", "path": "/url"}],
            },
        ),
    ],
)  # fmt: skip
def test_the_states_around_a_command(command: dict[str, Any], before: object, after: object) -> None:
    found = control_states(HEADER, BatchControl.model_validate({"batch_id": ID, **command}), 7)
    assert found == (before, after)
    assert "a-secret" not in str(found)

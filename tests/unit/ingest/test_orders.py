"""What a batch cannot be told is refused, with a word on what to do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchControl
from services.ingest.domain.command_validation import fault_in_order, fault_in_terms, terms_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def order(action: Any, **told: Any) -> BatchControl:
    return BatchControl(batch_id=UUID(int=1), action=action, **told)


@pytest.mark.parametrize(
    "command",
    [
        order("change", priority="low"),
        order("change", weight=2, clear=["rate", "deadline"]),
        order("change", clear=["retry"]),
        order("change", deadline=NOW + timedelta(seconds=1)),
        order("pause"),
        order("cancel"),
    ],
)
def test_sense(command: BatchControl) -> None:
    assert fault_in_order(command, NOW) is None


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (order("change"), "nothing_to_change"),
        (order("change", retry={}), "nothing_to_change"),
        (order("change", weight=2, clear=["weight"]), "invalid_command"),
        (order("change", deadline=NOW), "deadline_passed"),
        (order("change", failure_threshold={}), "invalid_command"),
        (order("pause", weight=2), "invalid_command"),
        (order("cancel", clear=["rate"]), "invalid_command"),
    ],
)
def test_nonsense(command: BatchControl, code: str) -> None:
    fault = fault_in_order(command, NOW)
    assert fault is not None
    assert (fault.code, fault.status) == (code, 422)


def test_a_new_batch_needs_a_deadline_that_lies_ahead() -> None:
    past = terms_of(order("change", deadline=NOW - timedelta(days=1)))
    fault = fault_in_terms(past, NOW)
    assert fault is not None
    assert fault.code == "deadline_passed"

"""Control commands that contradict themselves, change nothing or come too late are rejected."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.ids import uuid7
from batchyard_contracts.v1.commands import BatchControl
from services.ingest.domain.command_validation import terms_of, validate_batch_id, validate_control, validate_terms

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def control(action: Any, **fields: Any) -> BatchControl:
    return BatchControl(batch_id=UUID(int=1), action=action, **fields)


@pytest.mark.parametrize(
    "command",
    [
        control("change", priority="low"),
        control("change", weight=2, clear=["rate", "deadline"]),
        control("change", clear=["retry"]),
        control("change", deadline=NOW + timedelta(seconds=1)),
        control("change", not_before=NOW - timedelta(seconds=1)),
        control("change", not_before=NOW + timedelta(hours=1), deadline=NOW + timedelta(hours=2)),
        control("change", clear=["not_before"]),
        control("pause"),
        control("cancel"),
    ],
)
def test_a_valid_command_is_accepted(command: BatchControl) -> None:
    assert validate_control(command, NOW) is None


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (control("change"), "nothing_to_change"),
        (control("change", retry={}), "nothing_to_change"),
        (control("change", weight=2, clear=["weight"]), "invalid_command"),
        (control("change", deadline=NOW), "deadline_passed"),
        (control("change", not_before=NOW + timedelta(days=367)), "invalid_not_before"),
        (
            control("change", not_before=NOW + timedelta(hours=2), deadline=NOW + timedelta(hours=1)),
            "invalid_not_before",
        ),
        (control("change", not_before=NOW, clear=["not_before"]), "invalid_command"),
        (control("change", failure_threshold={}), "invalid_command"),
        (control("pause", weight=2), "invalid_command"),
        (control("cancel", clear=["rate"]), "invalid_command"),
    ],
)
def test_an_invalid_command_is_rejected_with_its_code(command: BatchControl, code: str) -> None:
    rejection = validate_control(command, NOW)
    assert rejection is not None
    assert (rejection.code, rejection.status) == (code, 422)


def test_the_deadline_of_a_new_batch_has_to_be_in_the_future() -> None:
    past = terms_of(control("change", deadline=NOW - timedelta(days=1)))
    rejection = validate_terms(past, NOW)
    assert rejection is not None
    assert rejection.code == "deadline_passed"


@pytest.mark.parametrize(
    ("batch_id", "valid"),
    [
        (None, True),
        (uuid7(round(NOW.timestamp() * 1000), bytes(10)), True),
        (uuid7(round(NOW.timestamp() * 1000) - 86_000_000, bytes(10)), True),
        (uuid7(round(NOW.timestamp() * 1000) + 86_000_000, bytes(10)), True),
        (uuid7(round(NOW.timestamp() * 1000) - 87_000_000, bytes(10)), False),
        (uuid7(round(NOW.timestamp() * 1000) + 87_000_000, bytes(10)), False),
        (uuid7((1 << 48) - 1, bytes(10)), False),
        (UUID("e2e8c94f-52d4-4b2c-9f3a-6a1f7f3a0b1c"), False),
        (UUID(int=0), False),
    ],
)
def test_a_chosen_id_is_a_uuid7_of_about_now(batch_id: UUID | None, valid: bool) -> None:
    rejection = validate_batch_id(batch_id, NOW)
    assert (rejection is None) == valid
    assert rejection is None or rejection.code == "invalid_batch_id"

"""Rejections of invalid bodies: their code, advice, and the position of the invalid item."""

from typing import Any

import pytest
from pydantic import ValidationError

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.invalid_body import rejection_of
from services.ingest.domain.rejection import Rejection


def rejection_for(body: Any) -> Rejection:
    read = BatchSubmit.model_validate_json if isinstance(body, bytes) else BatchSubmit.model_validate
    with pytest.raises(ValidationError) as caught:
        read(body)
    return rejection_of(caught.value)


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
def test_a_rejection_has_the_code_of_its_cause_and_the_line_of_the_first_invalid_item(
    body: Any, code: str, status: int, line: int | None
) -> None:
    found = rejection_for(body)
    assert (found.code, found.status, found.line) == (code, status, line)
    assert found.detail


def test_only_a_rejection_for_too_many_waiting_items_is_transient() -> None:
    assert IngestError(Rejection("too_many_waiting", "Later.", 429, retry_after_s=3.0)).is_retryable
    error = IngestError(Rejection("invalid_item", "No.", line=4))
    assert not error.is_retryable
    assert str(error) == "invalid_item (line 4): No."

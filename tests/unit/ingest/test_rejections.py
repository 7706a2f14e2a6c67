"""Rejections of invalid bodies: their code, advice, and the position of the invalid item."""

import gzip
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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Line 1, column 0: the text ends where a value is expected. Send one JSON object in UTF-8."),
        (b"{", "the text ends within an object"),
        (b"n\n1\n", "here is no JSON value"),
        ("{}".encode("utf-16"), "without a byte-order mark"),
        (b"\xef\xbb\xbf{}", "Line 1, column 1: here is no JSON value. Send one JSON object in UTF-8, without a byte-"),
        ('{"name": "é"}'.encode("latin-1"), "here is no character of UTF-8"),
        (gzip.compress(b"{}"), "uncompressed"),
    ],
)
def test_a_body_that_is_no_json_is_refused_in_words(body: bytes, words: str) -> None:
    assert words in rejection_for(body).detail

"""QuestionValidator: validation of questions by the announced schemas."""

from typing import Any

import pytest

from batchyard_contracts.v1.manifest import Manifest, Question
from batchyard_contracts.v1.queries import WorkloadQuery
from services.ingest.domain.limits import MAX_DEPTH
from services.ingest.domain.question_validator import QuestionValidator
from services.ingest.domain.rejection import Rejection

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def validator(schema: dict[str, Any]) -> QuestionValidator:
    questions = {"root": Question(request_schema=schema, answer_schema={})}
    return QuestionValidator(
        Manifest(name="squares", version="1", item_schema={}, result_schema={}, questions=questions)
    )


def test_a_valid_request_becomes_the_query_of_its_question() -> None:
    found = validator(SCHEMA).validate("root", b'{"n": 9}')

    assert found == WorkloadQuery(workload="squares", question="root", request={"n": 9})


def test_an_unknown_question_is_rejected_with_the_names_that_exist() -> None:
    found = validator(SCHEMA).validate("rot", b'{"n": 9}')

    assert isinstance(found, Rejection)
    assert (found.code, found.status) == ("unknown_question", 404)
    assert found.detail.endswith("It has: root.")


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", "malformed_json", 400),
        (b"[1]", "invalid_question", 422),
        (b'{"n": "9"}', "invalid_question", 422),
        (b"{}", "invalid_question", 422),
        (b'{"n": 1, "deep": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "invalid_question", 422),
    ],
)
def test_an_invalid_request_is_rejected(body: bytes, code: str, status: int) -> None:
    found = validator(SCHEMA).validate("root", body)

    assert isinstance(found, Rejection)
    assert (found.code, found.status) == (code, status)


def test_an_invalid_schema_is_not_usable() -> None:
    with pytest.raises(ValueError, match="question root schema of squares 1 is not usable"):
        validator({"type": "sqare"})

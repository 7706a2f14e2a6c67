"""Words for values that do not fit a model: no regular expression, no name of Python, no bare number."""

import re
from datetime import date
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, StringConstraints, ValidationError

from batchyard_contracts.message import Message
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import COMMANDS, MESSAGES
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.validation_words import pattern_words, pointer_of, sentence

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=5,
)
_RIDDLE = re.compile(r"\[\^|\\x|\{\d+,\d*\}|<class|Input should|Value error|errors\.pydantic|_type|_parsing|Error\b")


def errors_of(model: type[BaseModel], document: Any) -> list[str]:
    """The sentences about a document that does not fit."""
    try:
        model.model_validate(document, strict=True)
    except ValidationError as error:
        return [sentence(each) for each in error.errors(include_url=False)]
    return []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "`workload` is missing"),
        ({"workload": "No"}, "`workload` takes 1 to 48 lower-case letters, digits and hyphens, a letter first"),
        ({"workload": "w", "priority": "high"}, "`priority` takes `immediate`, `normal` or `low`"),
        ({"workload": "w", "color": 1}, "`color` is not a known field"),
        ({"workload": "w", "rate": {"per_second": 0.0}}, "`rate.per_second` takes at least 0.000001"),
        ({"workload": "w", "concurrency": 1_000_000}, "`concurrency` takes at most 100,000"),
        ({"workload": "w", "sealed": "yes"}, "`sealed` takes true or false"),
        ({"workload": "w", "items": [{"payload": {}}, {}]}, "`items.1.payload` is missing"),
        (
            {"workload": "w", "labels": {"a\n": "b"}},
            "The name `a\ufffd` in `labels` takes one line of text",
        ),
        ({"workload": "w", "notify": {"webhooks": ["x"] * 6}}, "`notify.webhooks` takes at most 5 entries"),
        ({"workload": "w", "name": "x" * 201}, "`name` takes at most 200 characters"),
        ({"workload": "w", "estimate": True}, "The body is not valid: `estimate` is for a batch with a source"),
        ([], "The body takes a JSON object"),
    ],
)
def test_an_error_is_a_plain_sentence(document: Any, words: str) -> None:
    (first, *_) = errors_of(BatchSubmit, document)
    assert first.startswith(words)


@given(st.sampled_from(COMMANDS), st.data())
def test_no_error_of_a_command_is_a_riddle(kind: type[Message], data: st.DataObject) -> None:
    fields = st.sampled_from([*kind.model_fields, "other"])
    document = data.draw(st.dictionaries(fields, JSON, max_size=4) | JSON)
    assert [text for text in errors_of(kind, document) if _RIDDLE.search(text)] == []


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_every_pattern_of_the_contracts_has_words(kind: type[Message]) -> None:
    assert [pattern for pattern in _patterns(schema_of(kind)) if pattern_words(pattern) is None] == []


def test_a_pointer_leads_to_the_value() -> None:
    assert pointer_of(("items", 3, "payload", "a/b~c")) == "/items/3/payload/a~1b~0c"
    assert pointer_of(("labels", "a", "[key]")) == "/labels/a"
    assert pointer_of(()) == ""


def _patterns(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for part in schema for found in _patterns(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    return [*own, *(found for part in schema.values() for found in _patterns(part))]


def test_a_message_of_a_model_of_others_is_no_riddle_either() -> None:
    class Own(BaseModel):
        address: AnyUrl
        code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
        day: date

    assert errors_of(Own, {"address": "x", "code": "x", "day": True}) == [
        "`address` takes a valid URL, relative URL without a base",
        "`code` takes text of another form",
        "`day` takes a valid date",
    ]

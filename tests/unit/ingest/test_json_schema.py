"""Explanations of values that do not fit a schema: plain sentences with a pointer, and no part of the schema."""

from typing import Any

import pytest

from batchyard_contracts.v1.manifest import Manifest
from services.ingest.domain.json_schema import CompiledSchema

MANIFEST = Manifest(name="w", version="1", item_schema={}, result_schema={}, example={})
FIELDS: dict[str, Any] = {
    "url": {"type": "string", "pattern": "^https?://", "description": "an address"},
    "code": {"pattern": "^[A-Z]+$"},
    "n": {"type": "integer", "minimum": 1, "maximum": 5},
    "above": {"exclusiveMinimum": 0},
    "kind": {"enum": ["a", 1, None]},
    "never": {"enum": []},
    "name": {"type": "string", "minLength": 2, "maxLength": 3},
    "list": {"type": "array", "maxItems": 1},
    "either": {"type": ["string", "null"]},
    "maybe": {
        "anyOf": [{"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}, {"type": "null"}]
    },
    "forms": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "one": {"oneOf": [{"minimum": 1}, {"maximum": 9}]},
    "other": {"not": {"type": "string"}},
    "none": False,
    "named": {"propertyNames": {"pattern": "^a"}},
    "holds": {"contains": {"type": "string"}},
    "const": {"const": "yes"},
    "step": {"multipleOf": 5},
}
POINT = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}
SCHEMA = CompiledSchema(
    "item schema of w 1", {"properties": FIELDS, "additionalProperties": False, "$defs": {"point": POINT}}
)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ({"url": "ftp:x"}, "/url", "`url` is text that does not have the form that this field takes (an address)."),
        ({"code": "a"}, "/code", "`code` is text that does not have the form that this field takes."),
        ({"url": 3}, "/url", "`url` takes text, and this is 3."),
        ({"n": 0}, "/n", "`n` takes at least 1, and this is 0."),
        ({"n": 10**30}, "/n", f"`n` takes at most 5, and this is {10**30}."),
        ({"n": "x" * 100}, "/n", f'`n` takes a whole number, and this is "{"x" * 58}….'),
        ({"above": 0}, "/above", "`above` takes more than 0, and this is 0."),
        ({"kind": "b"}, "/kind", '`kind` takes "a", 1 or null.'),
        ({"never": 1}, "/never", "`never` takes nothing."),
        ({"name": "a"}, "/name", "`name` takes at least 2 characters."),
        ({"list": [1, 2]}, "/list", "`list` takes at most 1 entry."),
        ({"either": 4}, "/either", "`either` takes null or text, and this is 4."),
        ({"maybe": {"x": "y"}}, "/maybe/x", '`maybe.x` takes a whole number, and this is "y".'),
        ({"maybe": {}}, "/maybe", "`maybe.x` is missing."),
        ({"forms": []}, "/forms", "`forms` fits none of the forms that this field takes: text or a whole number."),
        ({"one": 5}, "/one", "`one` fits several of the forms that this field takes, and has to fit one."),
        ({"other": "x"}, "/other", "`other` is not allowed here."),
        ({"none": 1}, "/none", "`none` is not allowed here."),
        ({"named": {"b": 1}}, "/named", "`named` has a name that does not have the form that this field takes."),
        ({"holds": [1]}, "/holds", "`holds` has no entry that is as one has to be."),
        ({"const": 1}, "/const", '`const` is not valid: "yes" was expected.'),
        ({"step": 3}, "/step", "`step` is not valid: 3 is not a multiple of 5."),
        ({"x\n": 1, "y": 2}, "", "`x\ufffd` and `y` are not known fields."),
        ({"url": 1, "n": 0, "name": "a", "list": [1, 2], "none": 1}, "/url", None),
    ],
)
def test_a_misfit_is_a_plain_sentence_with_a_pointer(value: Any, pointer: str, words: str | None) -> None:
    found = SCHEMA.explain(value)
    assert not SCHEMA.is_valid(value)
    assert found.pointer == pointer
    if words is None:
        assert found.detail.endswith("; and 2 more.")
    else:
        assert found.detail == words
    assert "^" not in found.detail

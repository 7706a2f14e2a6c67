"""Changes of a schema that are breaks, and the sides that they break."""

import copy
from typing import Any

import pytest

from batchyard_contracts.schema.evolution import narrowing_changes, widening_changes
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import MESSAGES

BASE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^a"},
        "size": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}], "default": None},
        "mood": {"enum": ["good", "bad"], "default": "good"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 3, "default": []},
        "any": {},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "terms": {"type": "object", "properties": {"low": {"type": "integer", "default": 1}}, "default": {"low": 1}},
    },
    "required": ["name"],
    "$defs": {
        "Tag": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "inner": {"$ref": "#/$defs/Tag"}},
            "required": ["key"],
            "additionalProperties": False,
        }
    },
}

CHANGES: dict[str, tuple[str, Any, list[str], list[str]]] = {
    # what: path, new value (... removes it), breaks of yesterday's message, breaks of yesterday's reader
    "nothing": ("title", "Another title", [], []),
    "a new optional field": ("properties.extra", {"type": "string", "default": ""}, [], []),
    "a field removed": ("properties.size", ..., ["size: the field was removed"], []),
    "an optional field required": (
        "required",
        ["name", "size"],
        ["size: the field was optional and is now required"],
        [],
    ),
    "a required field optional": ("required", [], [], ["name: the field was always there and may now be absent"]),
    "a new field required": ("required", ["name", "new"], ["new: the field is new and required"], []),
    "another type": (
        "properties.name.type",
        "integer",
        ["name: `type` changed from 'string' to 'integer'"],
        ["name: `type` changed from 'string' to 'integer'"],
    ),
    "integers become numbers": (
        "properties.size.anyOf.0.type",
        "number",
        [],
        ["size: `type` changed from 'integer' to 'number'"],
    ),
    "null no longer allowed": (
        "properties.size.anyOf",
        [{"type": "integer", "minimum": 0, "maximum": 9}],
        ["size: `type` changed from 'null' to 'integer'"],
        [],
    ),
    "a lower maximum": (
        "properties.size.anyOf.0.maximum",
        8,
        ["size: `maximum` changed from 9 to 8"],
        [],
    ),
    "a higher maximum": (
        "properties.size.anyOf.0.maximum",
        10,
        [],
        ["size: `maximum` changed from 9 to 10"],
    ),
    "no maximum": (
        "properties.size.anyOf.0.maximum",
        ...,
        [],
        ["size: `maximum` changed from 9 to None"],
    ),
    "a higher minimum": ("properties.name.minLength", 2, ["name: `minLength` changed from 1 to 2"], []),
    "a new limit": ("properties.map.maxProperties", 5, ["map: `maxProperties` changed from None to 5"], []),
    "another pattern": (
        "properties.name.pattern",
        "^b",
        ["name: `pattern` changed from '^a' to '^b'"],
        ["name: `pattern` changed from '^a' to '^b'"],
    ),
    "a value fewer": ("properties.mood.enum", ["good"], ["mood: the values 'bad' are no longer allowed"], []),
    "a value more": (
        "properties.mood.enum",
        ["good", "bad", "ugly"],
        [],
        ["mood: the values 'ugly' are new, and older readers refuse them"],
    ),
    "a field more, with its default in that of the whole": (
        "properties.terms",
        {
            "type": "object",
            "properties": {"low": {"type": "integer", "default": 1}, "high": {"default": None}},
            "default": {"low": 1, "high": None},
        },
        [],
        [],
    ),
    "a field more, with another value in the default of the whole": (
        "properties.terms",
        {
            "type": "object",
            "properties": {"low": {"type": "integer", "default": 1}, "high": {"default": None}},
            "default": {"low": 1, "high": 7},
        },
        ["terms: the default changed from {'low': 1} to {'low': 1, 'high': 7}"],
        [],
    ),
    "another default": ("properties.mood.default", "bad", ["mood: the default changed from 'good' to 'bad'"], []),
    "fewer items": ("properties.tags.maxItems", 2, ["tags: `maxItems` changed from 3 to 2"], []),
    "a field of an item removed": (
        "$defs.Tag.properties.key",
        ...,
        ["tags[].key: the field was removed"],
        [],
    ),
    "a new field where readers are strict": (
        "$defs.Tag.properties.extra",
        {"type": "string"},
        [],
        ["tags[].extra: the field is new, and older readers refuse unknown ones here"],
    ),
    "a body grows strict": (
        "additionalProperties",
        False,
        ["(body): unknown fields are refused, and were ignored before"],
        [],
    ),
    "values of a map change type": (
        "properties.map.additionalProperties.type",
        "string",
        ["map.*: `type` changed from 'integer' to 'string'"],
        ["map.*: `type` changed from 'integer' to 'string'"],
    ),
    "anything becomes text": (
        "properties.any",
        {"type": "string"},
        ["any: `type` changed from 'anything' to 'string'"],
        [],
    ),
    "text becomes a choice": (
        "properties.name.enum",
        ["a", "ab"],
        ["name: `values` changed from 'any' to ['a', 'ab']"],
        [],
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_breaks_whom_it_breaks(what: str) -> None:
    path, value, yesterdays_message, yesterdays_reader = CHANGES[what]
    changed = _changed(path, value)
    assert [str(one) for one in narrowing_changes(BASE, changed)] == yesterdays_message
    assert [str(one) for one in widening_changes(BASE, changed)] == yesterdays_reader


@pytest.mark.parametrize("name", MESSAGES)
def test_a_schema_fits_itself(name: str) -> None:
    schema = schema_of(MESSAGES[name])
    assert narrowing_changes(schema, schema) == []
    assert widening_changes(schema, schema) == []


def _changed(path: str, value: Any) -> dict[str, Any]:
    schema = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    place: Any = schema
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return schema

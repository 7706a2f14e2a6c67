"""Turns the text of a CSV cell into what the workload's item schema expects in that column."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import orjson

_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def typed_cell(schema: Mapping[str, Any], column: str, text: str) -> Any:
    """Give a number, a truth value or JSON where the schema wants one; else the text as it is, to be checked there."""
    for kind in _types(schema, column):
        try:
            match kind:
                case "integer":
                    return int(text)
                case "number" if isfinite(float(text)):
                    return float(text)
                case "boolean" if text.lower() in _TRUE | _FALSE:
                    return text.lower() in _TRUE
                case "array" | "object":
                    return orjson.loads(text)
                case "string":
                    return text
        except ValueError:
            continue
    return text


def _types(schema: Mapping[str, Any], column: str) -> list[str]:
    declared = _resolved(schema, schema.get("properties", {}).get(column, {}))
    branches = [_resolved(schema, branch) for branch in declared.get("anyOf", declared.get("oneOf", [declared]))]
    types = [branch.get("type", []) for branch in branches]
    return [kind for each in types for kind in ([each] if isinstance(each, str) else each)]


def _resolved(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(part.get("$ref", ""))
    name = reference.removeprefix("#/$defs/")
    return schema.get("$defs", {}).get(name, part) if name != reference else part

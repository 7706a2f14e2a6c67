"""Finds the parts of a JSON Schema that have no bound."""

import math
import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

LARGEST_INTEGER = 2**63 - 1
LONGEST_TEXT = 10_000


def unbounded_parts(schema: dict[str, Any], name: str) -> list[str]:
    """List the parts without a bound. Values of the users' own form have the empty schema: messages bound them."""
    return list(_unbounded(schema, schema, name))


def texts_with_nul(schema: dict[str, Any], name: str) -> list[str]:
    """List the texts that may contain U+0000; keys of maps and values of the users' own form are not looked at."""
    return list(_with_nul(schema, schema, name))


def _with_nul(schema: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if name and name != "JsonValue":
        yield from _with_nul(root["$defs"][name], root, path)
    for option in schema.get("anyOf", ()):
        yield from _with_nul(option, root, path)
    is_free = schema.get("type") == "string" and not schema.keys() & {"enum", "const", "format"}
    if is_free and re.search(schema.get("pattern", ""), "a\x00a"):
        yield path
    if "items" in schema:
        yield from _with_nul(schema["items"], root, f"{path}[]")
    for field, part in schema.get("properties", {}).items():
        yield from _with_nul(part, root, f"{path}.{field}")
    for _, values in _entries(schema):
        yield from _with_nul(values, root, f"{path}{{}}")


def _unbounded(schema: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if name and name != "JsonValue":
        yield from _unbounded(root["$defs"][name], root, path)
    for option in schema.get("anyOf", ()):
        yield from _unbounded(option, root, path)
    if not _is_bounded(schema):
        yield f"{path}: a {schema['type']} without a bound"
    if "items" in schema:
        yield from _unbounded(schema["items"], root, f"{path}[]")
    for name, part in schema.get("properties", {}).items():
        yield from _unbounded(part, root, f"{path}.{name}")
    for key, values in _entries(schema):
        yield from _unbounded(key, root, f"{path} keys")
        yield from _unbounded(values, root, f"{path}{{}}")


def _is_bounded(schema: Any) -> bool:
    low: float = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high: float = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    match schema.get("type"):
        case "string" if not schema.keys() & {"enum", "const", "format"}:
            return bool(schema.get("maxLength", _width(schema.get("pattern"))) <= LONGEST_TEXT)
        case "integer":
            return -LARGEST_INTEGER <= low <= high <= LARGEST_INTEGER
        case "number":
            return -math.inf < low <= high < math.inf and schema.get("exclusiveMinimum") != 0  # that is next to zero
        case "array":
            return "maxItems" in schema
        case "object":
            return "maxProperties" in schema or not _entries(schema)
    return True


def _entries(schema: Any) -> list[tuple[Any, Any]]:
    """Schemas of the keys and values of a map, unless its values have the users' own form."""
    patterns = schema.get("patternProperties", {}).items()
    found = [({"type": "string", "pattern": pattern}, values) for pattern, values in patterns]
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values not in ({}, {"$ref": "#/$defs/JsonValue"}):
        found.append((schema.get("propertyNames", {"type": "string"}), values))
    return found


def _width(pattern: str | None) -> float:
    """Largest number of characters that a pattern matches; infinite without a bound."""
    if pattern is None or not pattern.endswith("$"):
        return math.inf
    widest: int = _parser.parse(pattern).getwidth()[1]
    return math.inf if widest >= _constants.MAXREPEAT else widest

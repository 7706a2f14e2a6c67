"""JSON Schemas of a manifest: compiled for speed, with explanations of what does not fit."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jsonschema_rs

from batchyard_contracts.pointer import pointer_to
from batchyard_contracts.v1.manifest import Manifest

_MAX_EXPLANATION_LENGTH = 300
"""Largest number of characters of a place or of a reason: either may quote the whole payload."""
_MAX_REASONS = 3
"""Number of errors of one value that are explained."""
_MAX_SHOWN = 60
"""Largest number of characters of a value that is quoted."""
_MAX_OPTIONS = 20
_MAX_PATTERN_BYTES = 1024 * 1024
"""Largest size of the program of one pattern that is not trusted."""
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
    "array": "a JSON list",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_MAX_DEPTH = 8
"""Largest number of alternatives within alternatives that are looked into."""


class Misfit(NamedTuple):
    """Reason why a value does not fit a schema, and the JSON Pointer to its first wrong part."""

    detail: str
    pointer: str


class CompiledSchema:
    """A schema that is compiled; raises `ValueError` when it is not usable.

    The patterns of one that is not trusted, which comes from an owner, are matched in linear time; they know no
    look-around and no back-references.
    """

    def __init__(self, subject: str, schema: dict[str, Any], *, is_trusted: bool = True) -> None:
        self._schema = schema
        options = None if is_trusted else jsonschema_rs.RegexOptions(size_limit=_MAX_PATTERN_BYTES)
        try:
            self._compiled = jsonschema_rs.validator_for(schema, retriever=_no_retrieval, pattern_options=options)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(f"The {subject} is not usable: {_truncate(error)}") from error
        self.is_valid = self._compiled.is_valid

    def explain(self, value: Any) -> Misfit:
        """Return why a value does not fit; only for one that does not."""
        errors = self._compiled.iter_errors(value)
        first = next(iter(errors))
        rest = [error for _, error in zip(range(_MAX_REASONS - 1), errors, strict=False)]
        more = sum(1 for _ in errors)
        reasons = [self._reason(error) for error in (first, *rest)] + ([f"and {more} more"] if more else [])
        place = _innermost(first).instance_path
        return Misfit("; ".join(reasons) + ".", pointer_to(place))

    def _reason(self, error: jsonschema_rs.ValidationError) -> str:
        error = _innermost(error)
        place = [str(part) for part in error.instance_path]
        if error.kind.name == "required":
            return f"{_name([*place, getattr(error.kind, 'property', '')])} is missing"
        if error.kind.name == "additionalProperties":
            names = [_name([*place, name]) for name in getattr(error.kind, "unexpected", ())]
            return f"{_joined(names, 'and')} {'is not a known field' if len(names) == 1 else 'are not known fields'}"
        where = _name(place)
        return f"{where or 'The payload'} {self._words(error)}"

    def _words(self, error: jsonschema_rs.ValidationError) -> str:
        """Return what is wrong with a value, without a part of the schema that only its author understands."""
        kind = error.kind
        limit = getattr(kind, "limit", None)
        match kind.name:
            case "type":
                types = [_TYPES[name] for name in getattr(kind, "types", ())]
                return f"takes {_joined(types)}, and this is {_shown(error.instance)}"
            case "enum":
                return f"takes {_joined(map(_shown, getattr(kind, 'options', ())[:_MAX_OPTIONS]))}"
            case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
                return f"takes {_BOUNDS[kind.name]} {limit}, and this is {_shown(error.instance)}"
            case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
                least = "least" if kind.name.startswith("min") else "most"
                return f"takes at {least} {limit} {_units(kind.name, limit)}"
            case "pattern" | "propertyNames" | "format":
                meaning = self._meaning(error.schema_path)
                of_it = f" ({_cut(meaning)})" if meaning else ""
                what = "has a name that" if kind.name == "propertyNames" else "is text that"
                return f"{what} does not have the form that this field takes{of_it}"
            case "not" | "falseSchema":
                return "is not allowed here"
            case "oneOf" if not all(_branches(error)):
                return "fits several of the forms that this field takes, and has to fit one"
            case "anyOf" | "oneOf":
                return f"fits none of the forms that this field takes{_forms(error)}"
            case "contains":
                return "has no entry that is as one has to be"
        return f"is not valid: {_truncate(error)}"

    def _meaning(self, path: Sequence[str | int]) -> str:
        """Return the description of the field whose schema has the keyword at this path."""
        found: Any = self._schema
        meaning = ""
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
            if isinstance(found, dict):
                meaning = str(found.get("description") or found.get("title") or meaning)
        return meaning


def schema_name(manifest: Manifest, what: str) -> str:
    """Return the name of a schema of a workload, for messages."""
    return f"{what} schema of {manifest.name} {manifest.version}"


def _innermost(error: jsonschema_rs.ValidationError, depth: int = 0) -> jsonschema_rs.ValidationError:
    """Return the error within the only alternative that has the type of the value, such as that beside null."""
    if depth == _MAX_DEPTH:
        return error
    place = list(error.instance_path)
    likely = [
        branch
        for branch in _branches(error)
        if branch and not any(each.kind.name == "type" and list(each.instance_path) == place for each in branch)
    ]
    return _innermost(likely[0][0], depth + 1) if len(likely) == 1 else error


def _branches(error: jsonschema_rs.ValidationError) -> Sequence[Sequence[jsonschema_rs.ValidationError]]:
    """Return the errors of each alternative of a field; empty for an error that is not about alternatives."""
    branches: Sequence[Sequence[jsonschema_rs.ValidationError]] = getattr(error.kind, "context", ())
    return branches


def _forms(error: jsonschema_rs.ValidationError) -> str:
    place = list(error.instance_path)
    types = [
        _TYPES[name]
        for branch in _branches(error)
        for each in branch
        if each.kind.name == "type" and list(each.instance_path) == place
        for name in getattr(each.kind, "types", ())
    ]
    return f": {_joined(dict.fromkeys(types))}" if types else ""


def _name(place: Sequence[str]) -> str:
    text = ".".join("".join(each if each.isprintable() else "\ufffd" for each in part) for part in place)
    return text and f"`{_cut(text)}`"


def _joined(words: Iterable[str], last: str = "or") -> str:
    *first, end = [*words] or ["nothing"]
    return f"{', '.join(first)} {last} {end}" if first else end


def _units(keyword: str, number: Any) -> str:
    one, many = ("character", "characters") if keyword.endswith("Length") else ("entry", "entries")
    return one if number == 1 else many


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _truncate(error: Exception) -> str:
    return _cut(str(getattr(error, "message", error)).partition("\n")[0])


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_EXPLANATION_LENGTH else text[:_MAX_EXPLANATION_LENGTH] + "…"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}; external references are not allowed")

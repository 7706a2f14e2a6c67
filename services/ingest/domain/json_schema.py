"""JSON Schemas of a manifest: compiled for speed, with explanations of what does not fit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jsonschema_rs

from batchyard_contracts.pointer import pointer_to
from batchyard_contracts.v1.manifest import Manifest

_MAX_EXPLANATION_LENGTH = 300
"""Largest number of characters of a place or of a reason: either may quote the whole payload."""
_MAX_REASONS = 3
"""Number of errors of one value that are explained."""
_MAX_DEPTH = 8
"""Largest number of alternatives within alternatives that are looked into."""


class Misfit(NamedTuple):
    """Reason why a value does not fit a schema, and the JSON Pointer to its first wrong part."""

    detail: str
    pointer: str


class CompiledSchema:
    """A schema that is compiled; raises `ValueError` when it is not usable."""

    def __init__(self, manifest: Manifest, what: str, schema: dict[str, Any]) -> None:
        self._schema = schema
        try:
            self._compiled = jsonschema_rs.validator_for(schema, retriever=_no_retrieval)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(
                f"The {what} schema of {manifest.name} {manifest.version} is not usable: {_truncate(error)}"
            ) from error
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
        where = "/".join(str(part) for part in error.instance_path)
        return f"{'/' + _cut(where) if where else 'The payload'}: {self._words(error)}"

    def _words(self, error: jsonschema_rs.ValidationError) -> str:
        """Return the library's sentence, but for those that show a part of the schema."""
        match error.kind.name:
            case "pattern" | "propertyNames" | "format":
                meaning = self._meaning(error.schema_path)
                of_it = f" ({_cut(meaning)})" if meaning else ""
                what = "one of its names" if error.kind.name == "propertyNames" else "the text"
                return f"{what} does not have the form that this field takes{of_it}"
            case "not" | "falseSchema":
                return "this is not allowed here"
            case "anyOf" | "oneOf":
                return f"this fits none of the forms that this field takes{_forms(error)}"
            case "contains":
                return "none of the entries is as one has to be"
        return _truncate(error)

    def _meaning(self, path: Sequence[str | int]) -> str:
        """Return the description of the field whose schema has the keyword at this path."""
        found: Any = self._schema
        meaning = ""
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
            if isinstance(found, dict):
                meaning = str(found.get("description") or found.get("title") or meaning)
        return meaning


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
        name
        for branch in _branches(error)
        for each in branch
        if each.kind.name == "type" and list(each.instance_path) == place
        for name in getattr(each.kind, "types", ())
    ]
    return f": {' or '.join(dict.fromkeys(types))}" if types else ""


def _truncate(error: Exception) -> str:
    return _cut(str(getattr(error, "message", error)).partition("\n")[0])


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_EXPLANATION_LENGTH else text[:_MAX_EXPLANATION_LENGTH] + "…"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}; external references are not allowed")

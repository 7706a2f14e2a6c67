"""JSON Schemas of a manifest: compiled for speed, with explanations of what does not fit."""

from typing import Any

import jsonschema_rs

from batchyard_contracts.v1.manifest import Manifest

_MAX_EXPLANATION_LENGTH = 300
"""Largest number of characters of a place or of a reason: either may quote the whole payload."""


def compile_schema(manifest: Manifest, what: str, schema: dict[str, Any]) -> Any:
    """Compile a schema; raises `ValueError` when it is not usable."""
    try:
        return jsonschema_rs.validator_for(schema, retriever=_no_retrieval)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(
            f"The {what} schema of {manifest.name} {manifest.version} is not usable: {_truncate(error)}"
        ) from error


def explain(schema: Any, payload: dict[str, Any]) -> str:
    """Return the first reason why a payload does not fit a compiled schema."""
    error = next(iter(schema.iter_errors(payload)))
    where = "/".join(str(part) for part in error.instance_path)
    return f"{'/' + _cut(where) if where else 'The payload'}: {_truncate(error)}"


def _truncate(error: Exception) -> str:
    return _cut(str(getattr(error, "message", error)).partition("\n")[0])


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_EXPLANATION_LENGTH else text[:_MAX_EXPLANATION_LENGTH] + "…"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}; external references are not allowed")

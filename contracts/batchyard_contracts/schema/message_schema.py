"""JSON Schema (2020-12) of a message, under an identifier that never changes."""

import re
from typing import Any

from batchyard_contracts.message import Message

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ESCAPE = re.compile(r"\\(.)")
_SYNTAX = frozenset(r"^$\.*+?()[]{}|/-")


def schema_id(message_type: str) -> str:
    """Identifier (`$id`) of a message's schema."""
    return f"urn:batchyard:schema:{message_type}"


def schema_of(kind: type[Message]) -> dict[str, Any]:
    """Schema of the bodies that a reader accepts: fields with a default may be absent."""

    schema: dict[str, Any] = _portable(kind.model_json_schema(mode="validation"))
    return {"$schema": DIALECT, "$id": schema_id(kind.type), **schema}


def _portable(value: Any) -> Any:
    """Patterns as ECMA-262 reads them, which JSON Schema asks for: it refuses escapes that Python ignores."""
    if isinstance(value, dict):
        return {
            key: _ESCAPE.sub(_needed, inner) if key == "pattern" and isinstance(inner, str) else _portable(inner)
            for key, inner in value.items()
        }
    return [_portable(inner) for inner in value] if isinstance(value, list) else value


def _needed(escape: re.Match[str]) -> str:
    character = escape[1]
    return escape[0] if character.isalnum() or character in _SYNTAX else character

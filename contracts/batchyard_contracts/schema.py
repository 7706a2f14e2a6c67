"""The JSON Schema (2020-12) of a message, under an identifier that never changes."""

from typing import Any

from batchyard_contracts.message import Message

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_id(message_type: str) -> str:
    """The `$id` of a message's schema."""
    return f"urn:batchyard:schema:{message_type}"


def schema_of(kind: type[Message]) -> dict[str, Any]:
    """What a reader accepts: fields with a default may be absent."""
    return {"$schema": DIALECT, "$id": schema_id(kind.type), **kind.model_json_schema(mode="validation")}

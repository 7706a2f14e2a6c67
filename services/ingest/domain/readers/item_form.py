"""Form of an item in a file: `{"payload": {…}, "custom_id": "…"}`, or its payload alone."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import CustomId
from services.ingest.domain.readers.rows import Row
from services.ingest.domain.rejection import Rejection

_CUSTOM_ID: TypeAdapter[str] = TypeAdapter(CustomId)
_SHORT = 100
"""Length in characters up to which printable text is an id without further checks."""


class _WrappedItem(msgspec.Struct):
    payload: msgspec.Raw


_wrapped_item = msgspec.json.Decoder(_WrappedItem)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class ItemForm:
    """Form of the items of one workload.

    An object with the field `payload` has only `custom_id` beside it. Any other object is the payload itself; its field
    `custom_id` is the id of the item, unless the item schema names such a field.
    """

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        properties = item_schema.get("properties")
        self.has_custom_id_field = isinstance(properties, dict) and "custom_id" in properties
        """True when `custom_id` is a field of the payload."""

    def row(self, line: int, value: Any, raw: bytes) -> Row | Rejection:
        """Return the row of a parsed value. `raw` is its JSON, and numbers in it stay as they are written."""
        if not isinstance(value, dict):
            return Row(line, value, raw, None)  # which the validator rejects
        if "payload" in value:
            return _unwrap(line, value, raw)
        if self.has_custom_id_field or "custom_id" not in value:
            return Row(line, value, raw, None)
        fields = _fields.decode(raw)
        del fields["custom_id"]
        custom_id = value.pop("custom_id")
        return invalid_custom_id(custom_id, line) or Row(line, value, _encode(fields), custom_id)


def invalid_custom_id(custom_id: object, line: int) -> Rejection | None:
    """Return why a value cannot be the id of an item; None when it can, or is absent."""
    if custom_id is None or (isinstance(custom_id, str) and custom_id.isprintable() and 0 < len(custom_id) <= _SHORT):
        return None
    try:
        _CUSTOM_ID.validate_python(custom_id, strict=True)
    except ValidationError:
        detail = (
            "The custom_id of an item is text of 1 to 128 characters, without line ends and control characters; a "
            "number stands in quotation marks."
        )
        return Rejection("invalid_item", detail, line=line)
    return None


def _unwrap(line: int, value: dict[str, Any], raw: bytes) -> Row | Rejection:
    custom_id = value.get("custom_id")
    if len(value) != (1 if "custom_id" not in value else 2):
        name = min(value.keys() - {"payload", "custom_id"})
        detail = (
            f"The field `{name[:50]}` stands beside `payload`. An item is its payload alone, or "
            '{"payload": {…}, "custom_id": "…"}; a payload with a field `payload` has to be written in the second form.'
        )
        return Rejection("invalid_item", detail, line=line)
    if rejection := invalid_custom_id(custom_id, line):
        return rejection
    return Row(line, value["payload"], bytes(_wrapped_item.decode(raw).payload), custom_id)

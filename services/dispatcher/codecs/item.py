"""How items are kept and passed on: each as a line of JSON that begins with its ordinal.

Whole numbers may have any length, so what writes and reads lines must not stop at 64 bits.
"""

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.flow import PageItem

_START = len(b'{"ordinal":')


def line_of(item: PageItem) -> bytes:
    """The line of an item that has not run."""
    fields: dict[str, object] = {"ordinal": item.ordinal, "payload": item.payload}
    if item.custom_id is not None:
        fields["custom_id"] = item.custom_id
    if item.key is not None:
        fields["key"] = item.key
    if item.source:
        fields["source"] = True
    return to_json(fields, inf_nan_mode="null")


def ordinal_of(line: bytes) -> int:
    """The ordinal, without a look at the rest."""
    return int(line[_START : line.index(b",", _START)])


def with_state(line: bytes, state: JsonValue) -> bytes:
    """The line with what the next run is given. The run that returned it was not broken off."""
    fields = from_json(line) | {"state": state}
    fields.pop("rerun", None)
    return to_json(fields, inf_nan_mode="null")


def with_rerun(line: bytes) -> bytes:
    """The line of an item whose run was broken off, so that the next one knows it."""
    return to_json(from_json(line) | {"rerun": True}, inf_nan_mode="null")

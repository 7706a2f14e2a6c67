"""The format in which items are stored and sent: a line of JSON that begins with the ordinal.

Integers may have any length, so lines are read and written without a limit of 64 bits.
"""

import orjson
from pydantic import JsonValue
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.flow import PageItem, SettledItem
from batchyard_contracts.v1.values import ItemError

_START = len(b'{"ordinal":')
_STATE = b'"state":'


def line_of(item: PageItem) -> bytes:
    """Return the line of an item that has not run."""
    fields: dict[str, object] = {"ordinal": item.ordinal, "payload": item.payload}
    if item.custom_id is not None:
        fields["custom_id"] = item.custom_id
    if item.key is not None:
        fields["key"] = item.key
    if item.source:
        fields["source"] = True
    return to_json(fields, inf_nan_mode="null")


def ordinal_of(line: bytes) -> int:
    """Return the ordinal without parsing the rest."""
    return int(line[_START : line.index(b",", _START)])


def settled_item(line: bytes, partition: str, attempts: int = 0, error: ItemError | None = None) -> SettledItem:
    """Return the item of a line as one that ends without a further run."""
    fields = orjson.loads(line)
    return SettledItem(
        ordinal=fields["ordinal"],
        custom_id=fields.get("custom_id"),
        attempts=attempts,
        error=error,
        partition=partition,
    )


def has_state(line: bytes) -> bool:
    """Tell whether an item goes on elsewhere: an earlier run left a state for the next one."""
    return _STATE in line and from_json(line).get("state") is not None


def with_state(line: bytes, state: JsonValue) -> bytes:
    """Return the line with the state for the next run, and without the mark of an interrupted run."""
    fields = from_json(line) | {"state": state}
    fields.pop("rerun", None)
    return to_json(fields, inf_nan_mode="null")


def with_rerun(line: bytes) -> bytes:
    """Return the line with the mark that its last run was interrupted."""
    return to_json(from_json(line) | {"rerun": True}, inf_nan_mode="null")

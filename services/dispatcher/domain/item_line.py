"""The format in which items are stored and sent: a line of JSON that begins with the ordinal.

Integers may have any length, so lines are read and written without a limit of 64 bits. A stored line that cannot be
read is replaced by one that says so, and its item fails; if not even its ordinal can be read, it is empty.
"""

import re

import msgspec
from pydantic import JsonValue
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.flow import PageItem, SettledItem
from batchyard_contracts.v1.values import ItemError

_START = len(b'{"ordinal":')
_STATE = b'"state":'
_UNREADABLE = b',"payload":null,"unreadable":true}'
ITEM_UNREADABLE = ItemError(
    code="item_unreadable", message="The stored item cannot be read, so that it did not run; submit it again."
)
_ordinal = re.compile(rb'\{"ordinal":(0|[1-9][0-9]{0,7}),').match


class _StoredItem(msgspec.Struct, gc=False):
    """The parts of a line that are needed to settle its item; all of the line has to be JSON."""

    ordinal: int
    payload: msgspec.Raw
    custom_id: str | None = None


_decode = msgspec.json.Decoder(_StoredItem).decode


class UnreadableItems(Exception):
    """Stored items of the batch cannot be read, not even their ordinals."""


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


def readable_line(line: bytes, ordinal: int | None = None) -> bytes:
    """Return a stored line, or in place of one that cannot be read a line that says so. Return nothing if its ordinal
    is not known either; `ordinal`: the one of its row."""
    try:
        if _ordinal(line) and (line.isascii() or line.decode()):
            _decode(line)
            return line
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    if ordinal is None and (found := _ordinal(line)):
        ordinal = int(found[1])
    return b"" if ordinal is None else b'{"ordinal":%d' % ordinal + _UNREADABLE


def readable_lines(stored: bytes) -> list[bytes]:
    """Return the lines of a stored page segment, each as `readable_line` does."""
    return [readable_line(line) for line in stored.split(b"\n")]


def is_unreadable(line: bytes) -> bool:
    """Tell whether a line stands for one that cannot be read."""
    return line.endswith(_UNREADABLE)


def custom_id_of(line: bytes) -> str | None:
    """Return the client's id of an item; None without one."""
    return _decode(line).custom_id


def settled_item(line: bytes, partition: str, attempts: int = 0, error: ItemError | None = None) -> SettledItem:
    """Return the item of a line as one that ends without a further run."""
    item = _decode(line)
    return SettledItem(
        ordinal=item.ordinal,
        custom_id=item.custom_id,
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

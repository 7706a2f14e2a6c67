"""Cuts a stream of items into parts that a single command may carry."""

from collections.abc import Iterable, Iterator

import orjson

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, MAX_ITEMS_PER_COMMAND
from services.cli.errors import BadInput
from services.cli.items import Item

_MAX_PART_BYTES = MAX_MESSAGE_BYTES * 3 // 4
"""Room is left for the other fields of the command."""


def parts(
    items: Iterable[Item], *, most: int = MAX_ITEMS_PER_COMMAND, room: int = _MAX_PART_BYTES
) -> Iterator[list[Item]]:
    """Give the items in lists of at most `most` items and about `room` bytes, reading no further than needed."""
    part: list[Item] = []
    used = 0
    for total, item in enumerate(items, 1):
        size = len(orjson.dumps(item.body)) + 1
        if size > room:
            raise BadInput(f"The item on line {item.line} has {size} bytes; {room} is the most.", "Make it smaller.")
        if total > MAX_ITEMS_PER_BATCH:
            raise BadInput(f"A batch may have {MAX_ITEMS_PER_BATCH:,} items.", "Submit the rest as another batch.")
        if part and (len(part) == most or used + size > room):
            yield part
            part, used = [], 0
        part.append(item)
        used += size
    if part:
        yield part

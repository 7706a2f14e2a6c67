"""Splits any number of items into parts that fit a command each: at most 10,000 items and about 1 MiB."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping

from pydantic import JsonValue, ValidationError

from batchyard_contracts.client.errors import InvalidItem
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, NewItem
from batchyard_contracts.validation_words import sentence

MAX_PART_BYTES = 1024 * 1024
_MAX_ITEM_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
"""Largest item in bytes; the rest of a message is for the other fields of the command."""

ItemLike = Mapping[str, JsonValue] | NewItem
Items = Iterable[ItemLike] | AsyncIterable[ItemLike]


async def parts(
    items: Items, *, max_items: int = MAX_ITEMS_PER_COMMAND, max_bytes: int = MAX_PART_BYTES
) -> AsyncIterator[list[NewItem]]:
    """Yield the items in order, in lists that fit a command each; raises `InvalidItem`. Without items there is none."""

    part: list[NewItem] = []
    size = line = 0
    async for item_like in _each(items):
        line += 1
        item, length = _measure(item_like, line)
        if part and (len(part) >= max_items or size + length > max_bytes):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


async def _each(items: Items) -> AsyncIterator[ItemLike]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _measure(item_like: ItemLike, line: int) -> tuple[NewItem, int]:
    try:
        item = item_like if isinstance(item_like, NewItem) else NewItem(payload=dict(item_like))
        length = len(item.model_dump_json(exclude_none=True)) + 1
    except (ValidationError, ValueError, TypeError) as error:
        raise InvalidItem(line, f"not a JSON object: {_brief(error)}") from error
    if length > _MAX_ITEM_BYTES:
        raise InvalidItem(
            line, f"{length} bytes, and at most {_MAX_ITEM_BYTES} can be sent. Pass large data by reference."
        )
    return item, length


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return sentence(error.errors(include_url=False, include_input=False)[0], "the item")
    return str(error)[:200]

"""Items are cut into commands in order, none lost, none too large."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.client import InvalidItem, NewItem
from batchyard_contracts.client.packing import ItemLike, parts
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.commands import BatchAppend
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND


async def _cut(items: list[ItemLike], **limits: int) -> list[list[NewItem]]:
    return [part async for part in parts(items, **limits)]


@given(st.lists(st.integers(0, 40)), st.integers(1, 5), st.integers(20, 120))
async def test_nothing_is_lost_or_too_much(widths: list[int], max_items: int, max_bytes: int) -> None:
    items: list[ItemLike] = [{"t": "x" * width} for width in widths]
    cut = await _cut(items, max_items=max_items, max_bytes=max_bytes)
    assert [item.payload for part in cut for item in part] == items
    assert all(cut), "no part is empty"
    for part in cut:
        assert len(part) <= max_items
        size = sum(len(item.model_dump_json(exclude_none=True)) + 1 for item in part)
        assert size <= max_bytes or len(part) == 1


async def test_the_limits_are_those_of_a_command() -> None:
    cut = await _cut([{"n": n} for n in range(2 * MAX_ITEMS_PER_COMMAND + 1)])
    assert [len(part) for part in cut] == [MAX_ITEMS_PER_COMMAND, MAX_ITEMS_PER_COMMAND, 1]


async def test_items_of_an_asynchronous_source_are_read_as_they_are_needed() -> None:
    read = 0

    async def source() -> AsyncIterator[ItemLike]:
        nonlocal read
        for n in range(100):
            read += 1
            yield {"n": n}

    cut = parts(source(), max_items=10)
    assert len(await anext(cut)) == 10
    assert read == 11


async def test_the_largest_item_that_is_taken_fits_a_message() -> None:
    batch_id = "019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70"
    largest: ItemLike = {"t": "x" * (MAX_MESSAGE_BYTES - 64 * 1024 - 30)}
    [[item]] = await _cut([largest])
    body = BatchAppend.model_validate({"batch_id": batch_id, "sequence": 10**9, "items": [item]}).encode()
    assert len(body) <= MAX_MESSAGE_BYTES

    with pytest.raises(InvalidItem, match=r"Item 2: .* bytes, and at most") as caught:
        await _cut([{}, {"t": "x" * MAX_MESSAGE_BYTES}])
    assert caught.value.line == 2


@pytest.mark.parametrize("bad", [{"x": object()}, {1: 2}, {"x": "\ud800"}, ["not", "an", "object"], 7, None, "text"])
async def test_a_line_that_is_no_json_object_is_named(bad: ItemLike) -> None:
    with pytest.raises(InvalidItem, match="Item 3: not a JSON object"):
        await _cut([{}, NewItem(payload={}), bad])

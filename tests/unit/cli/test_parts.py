"""Items are cut into parts by number and by size, in order, none lost."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.errors import BadInput
from services.cli.items import Item
from services.cli.parts import parts


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 7))
def test_parts_keep_order_and_both_limits(sizes: list[int], most: int) -> None:
    items = [Item({"payload": {"x": "a" * size}}, line) for line, size in enumerate(sizes, 1)]
    cut = list(parts(items, most=most, room=100))
    assert [item for part in cut for item in part] == items
    assert all(0 < len(part) <= most for part in cut)
    assert all(len(part) == 1 or len(orjson.dumps([item.body for item in part])) <= 101 for part in cut)


def test_an_item_that_fits_nowhere_is_named() -> None:
    with pytest.raises(BadInput, match="line 2"):
        list(parts([Item({"payload": {}}, 1), Item({"payload": {"x": "a" * 200}}, 2)], room=100))


def test_nothing_is_read_ahead_of_the_part_that_is_asked_for() -> None:
    read = 0

    def source() -> object:
        nonlocal read
        for line in range(1, 10_000):
            read += 1
            yield Item({"payload": {}}, line)

    next(parts(source(), most=5))  # type: ignore[arg-type]
    assert read == 6

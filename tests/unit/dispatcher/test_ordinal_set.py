"""The set of dropped ordinals contains what was added, and needs a bounded memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.ordinal_set import OrdinalSet

ORDINALS = st.lists(st.integers(0, 99_999_999) | st.integers(0, 40))


@given(added=st.lists(ORDINALS), others=ORDINALS)
def test_the_set_contains_what_was_added_and_nothing_else(added: list[list[int]], others: list[int]) -> None:
    ordinals, expected = OrdinalSet(), set[int]()
    for group in added:
        ordinals.update(group)
        expected.update(group)
    assert bool(ordinals) is bool(expected)
    for ordinal in {*expected, *others}:
        for near in {max(0, ordinal - 1), ordinal, ordinal + 8}:
            assert (near in ordinals) is (near in expected)


def test_a_million_ordinals_need_a_bit_each() -> None:
    ordinals = OrdinalSet()
    tracemalloc.start()
    try:
        ordinals.update(range(1_000_000))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 200_000
    assert 999_999 in ordinals

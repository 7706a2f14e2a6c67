"""Packing of parts into messages: all parts, in order, within the limits."""

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from shared.messaging.packing import MAX_PARTS, pack


def encode(texts: Sequence[str]) -> bytes:
    return json.dumps(list(texts)).encode()


@settings(max_examples=25)
@given(st.lists(st.sampled_from([1, 300_000, 2_000_000, MAX_MESSAGE_BYTES - 4]), max_size=6))
def test_messages_have_all_parts_in_order_and_fit(sizes: list[int]) -> None:
    texts = [str(n % 10) * size for n, size in enumerate(sizes)]
    bodies = list(pack(texts, encode))
    assert [text for body in bodies for text in json.loads(body)] == texts
    assert all(len(body) <= MAX_MESSAGE_BYTES for body in bodies)


def test_small_parts_go_into_messages_of_a_thousand() -> None:
    bodies = list(pack(["x"] * (2 * MAX_PARTS + 1), encode))
    assert [len(json.loads(body)) for body in bodies] == [MAX_PARTS, MAX_PARTS, 1]


def test_a_part_that_fits_no_message_gets_one_of_its_own() -> None:
    bodies = list(pack(["a", "b" * MAX_MESSAGE_BYTES, "c"], encode))
    assert [text[:1] for body in bodies for text in json.loads(body)] == ["a", "b", "c"]
    assert [len(body) > MAX_MESSAGE_BYTES for body in bodies] == [False, True, False]


def test_no_parts_make_no_message() -> None:
    assert list(pack([], encode)) == []

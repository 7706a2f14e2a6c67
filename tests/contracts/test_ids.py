"""Identifiers that sort by time."""

from uuid import RFC_4122

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.ids import ENTROPY_BYTES, new_batch_id, uuid7

MOMENTS = st.integers(0, (1 << 48) - 1)
ENTROPY = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)


def test_the_example_of_the_standard() -> None:
    """RFC 9562, appendix A.6: 0xCC3 and 0x18C4DC0C0C07398F are its random bits."""
    entropy = (0xCC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(ENTROPY_BYTES)
    assert str(uuid7(0x017F22E279B0, entropy)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(MOMENTS, ENTROPY)
def test_version_variant_and_time_are_in_their_places(moment: int, entropy: bytes) -> None:
    made = uuid7(moment, entropy)
    assert (made.version, made.variant, made.int >> 80) == (7, RFC_4122, moment)


@given(MOMENTS, MOMENTS, ENTROPY, ENTROPY)
def test_they_sort_by_time(one: int, other: int, entropy: bytes, more: bytes) -> None:
    if one != other:
        assert (uuid7(one, entropy) < uuid7(other, more)) == (one < other)


@pytest.mark.parametrize(("moment", "size"), [(-1, 10), (1 << 48, 10), (0, 9), (0, 11)])
def test_an_item_that_does_not_fit_is_refused(moment: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"48 bits|bytes of entropy"):
        uuid7(moment, bytes(size))


def test_fresh_ones_differ() -> None:
    assert len({new_batch_id() for _ in range(1000)}) == 1000

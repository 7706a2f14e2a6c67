"""A place in the results of a batch and its cursor stand for each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batchyard_contracts.v1.queries import StreamOrder
from batchyard_contracts.v1.values import StreamCursor
from services.aggregator.domain.stream_position import StreamPosition

CURSOR: TypeAdapter[str] = TypeAdapter(StreamCursor)
NUMBERS = st.integers(0, 2**31 - 1)
PLACES = st.one_of(
    st.builds(StreamPosition, st.just("ordinal"), st.integers(-1, 2**31 - 1)),
    st.builds(StreamPosition, st.just("completion"), st.integers(-(2**31), 2**31 - 1), NUMBERS),
)


@given(PLACES)
def test_a_cursor_names_its_place(place: StreamPosition) -> None:
    assert StreamPosition.parse(CURSOR.validate_python(place.cursor)) == place


@pytest.mark.parametrize("order", ["ordinal", "completion"])
def test_a_stream_starts_before_every_place(order: StreamOrder) -> None:
    start = StreamPosition.start(order)
    assert StreamPosition.parse(CURSOR.validate_python(start.cursor)) == start
    assert (start.major, start.minor) < (start.moved(0, 0).major, 1)

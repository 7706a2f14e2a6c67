"""Pairs are covered by few calls, each once, none beyond the limits."""

import random

from hypothesis import given
from hypothesis import strategies as st

from services.worker.workloads.distances.blocks import Block, MatrixLimits, Pair, cover
from services.worker.workloads.distances.places import Place

GOOGLE = MatrixLimits(625, 626, fill=1.0)
OSRM = MatrixLimits(10_000, 300, fill=0.01)


def places(count: int, lat: float) -> list[Place]:
    return [Place(lat, n / 10) for n in range(count)]


def product(origins: int, destinations: int) -> list[Pair]:
    return [(origin, there) for origin in places(origins, 1.0) for there in places(destinations, 2.0)]


def cells(blocks: list[Block]) -> int:
    return sum(len(block.origins) * len(block.destinations) for block in blocks)


def test_a_matrix_of_25_by_25_is_one_call_whatever_the_order() -> None:
    pairs = product(25, 25)
    random.Random(7).shuffle(pairs)
    (block,) = cover(pairs, GOOGLE)
    assert (len(block.origins), len(block.destinations), len(block.wanted)) == (25, 25, 625)


def test_a_row_of_a_large_matrix_is_cut_at_the_limit() -> None:
    assert len(cover(product(1, 1000), GOOGLE)) == 2
    assert len(cover(product(1000, 1), GOOGLE)) == 2


def test_no_unneeded_cell_is_requested_where_each_cell_is_paid_for() -> None:
    pairs = [*product(10, 10), (Place(3.0, 3.0), Place(4.0, 4.0))]
    assert cells(cover(pairs, GOOGLE)) == 101


def test_unrelated_pairs_share_a_call_where_calls_are_expensive() -> None:
    pairs = [(Place(1.0, n / 10), Place(2.0, n / 10)) for n in range(1000)]
    assert len(cover(pairs, GOOGLE)) == 1000
    assert len(cover(pairs, OSRM)) == 10


pair_of = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(
    st.lists(pair_of, max_size=80),
    st.integers(1, 30),
    st.integers(2, 30),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_every_pair_is_covered_once_within_the_limits(
    numbers: list[tuple[int, int]], most_cells: int, most_places: int, fill: float
) -> None:
    pairs = [(Place(1.0, a), Place(2.0, b)) for a, b in numbers]
    blocks = cover(pairs, MatrixLimits(most_cells, most_places, fill))
    wanted = [pair for block in blocks for pair in block.wanted]
    assert sorted(wanted) == sorted(set(pairs))
    for block in blocks:
        assert len(block.origins) * len(block.destinations) <= most_cells
        assert len(block.origins) + len(block.destinations) <= most_places
        assert block.wanted <= {(o, d) for o in block.origins for d in block.destinations}
    if fill == 1.0:
        assert cells(blocks) == len(set(pairs))


@given(st.lists(pair_of, min_size=1, max_size=40))
def test_halving_a_block_or_leaving_out_a_place_loses_no_other_pair(numbers: list[tuple[int, int]]) -> None:
    (block,) = cover([(Place(1.0, a), Place(2.0, b)) for a, b in numbers], MatrixLimits(10_000, 10_000, fill=0.0))
    halves = block.halves()
    if len(block.origins) * len(block.destinations) == 1:
        assert not halves
    else:
        assert frozenset().union(*(half.wanted for half in halves)) == block.wanted
        assert sum(len(half.wanted) for half in halves) == len(block.wanted)
    place = block.origins[0]
    left = block.without(place)
    assert (left.wanted if left else frozenset()) == {pair for pair in block.wanted if pair[0] != place}

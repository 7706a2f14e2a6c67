"""What follows a loss: another try, being taken apart, and blame only for an item that was alone."""

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.loss import PARTS_MAX, after_loss, groups


def test_a_chunk_is_taken_apart_at_its_second_loss() -> None:
    assert [after_loss(n, 5, apart=False, losses_max=3) for n in (1, 2)] == ["again", "apart"]
    assert [after_loss(n, 1, apart=False, losses_max=3) for n in (1, 2)] == ["again", "apart"]


def test_an_item_alone_fails_at_the_bound() -> None:
    assert [after_loss(n, 1, apart=True, losses_max=5) for n in (3, 4, 5)] == ["again", "again", "fail"]
    assert after_loss(1, 1, apart=False, losses_max=1) == "fail"


@given(losses=st.integers(1, 9), items=st.integers(2, 10_000), apart=st.booleans(), losses_max=st.integers(1, 9))
def test_nobody_fails_for_a_neighbour(losses: int, items: int, apart: bool, losses_max: int) -> None:
    assert after_loss(losses, items, apart, losses_max) != "fail"


@given(st.sets(st.integers(0, 500), max_size=500))
def test_groups_hold_each_place_once_without_gaps(places: set[int]) -> None:
    found = groups(sorted(places))
    assert [n for group in found for n in group] == sorted(places)
    assert all(list(g) == list(range(g[0], g[0] + len(g))) for g in found)
    if len(places) <= PARTS_MAX:
        assert all(len(g) == 1 for g in found)


def test_a_large_chunk_is_taken_apart_in_steps() -> None:
    assert [len(g) for g in groups(range(10_000))] == [100] * PARTS_MAX

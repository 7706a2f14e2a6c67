"""A lost chunk is retried, then halved; an item fails only if it was alone."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.lost_chunk_policy import action_after_loss, halves, losses_of_half
from services.dispatcher.domain.scheduling.scheduler import PageRange, RetryRange


def test_chunk_is_halved_at_the_maximum_and_a_single_item_fails() -> None:
    assert [action_after_loss(n, 5, 3) for n in (1, 2, 3)] == ["again", "again", "halve"]
    assert [action_after_loss(n, 1, 3) for n in (1, 2, 3)] == ["again", "again", "fail"]


def test_lost_chunk_without_unreported_items_fails_nothing() -> None:
    assert action_after_loss(9, 0, 3) == "again"


@given(losses=st.integers(1, 9), left=st.integers(2, 10_000), max_chunk_losses=st.integers(1, 9))
def test_item_does_not_fail_because_of_its_neighbours(losses: int, left: int, max_chunk_losses: int) -> None:
    assert action_after_loss(losses, left, max_chunk_losses) != "fail"


@given(st.integers(2, 300).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 2))))
def test_halves_contain_each_item_once_in_equal_parts(case: tuple[int, set[int]]) -> None:
    size, reported = case
    ordinals = tuple(range(100, 100 + size))
    reported_ordinals = {100 + n for n in reported}
    first, second = halves(RetryRange(2, ordinals), ordinals, reported_ordinals)
    assert isinstance(first, RetryRange)
    assert isinstance(second, RetryRange)
    assert first.ordinals + second.ordinals == ordinals
    left = [len(set(half.ordinals) - reported_ordinals) for half in (first, second)]
    assert max(left) - min(left) <= 1
    assert min(left) > 0
    assert halves(PageRange(3, 1, 7, size), ordinals, reported_ordinals) == (
        PageRange(3, 1, 7, first.count),
        PageRange(3, 1, 7 + first.count, second.count),
    )


@given(size=st.integers(1, 1000), max_chunk_losses=st.integers(1, 6), data=st.data())
def test_crashing_item_is_found_in_few_losses(size: int, max_chunk_losses: int, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(0, size - 1))
    chunks, lost, blamed = deque([(tuple(range(size)), 0)]), 0, []
    while chunks:
        items, losses = chunks.popleft()
        if guilty not in items:
            continue
        lost += 1
        fate = action_after_loss(losses + 1, len(items), max_chunk_losses)
        if fate == "again":
            chunks.append((items, losses + 1))
        elif fate == "fail":
            blamed.append(items)
        else:
            for half in halves(RetryRange(1, items), items, ()):
                assert isinstance(half, RetryRange)
                chunks.append((half.ordinals, losses_of_half(half.count, max_chunk_losses)))
    assert blamed == [(guilty,)]
    assert lost <= max_chunk_losses + 10 + 1

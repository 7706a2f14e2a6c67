"""Bisection finds the items that end their process, and only those."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from services.worker.quarantine.bisection import Bisection, ItemGroup, bisect


def test_the_running_item_is_tried_alone_and_is_guilty_if_it_crashes_again() -> None:
    first = bisect(ItemGroup((1, 2, 3, 4)), [2, 3, 4], [1, 2, 3], 3, is_fresh=True)
    assert first == Bisection((ItemGroup((3,), suspect=True), ItemGroup((2,), suspect=True), ItemGroup((4,))))
    assert bisect(ItemGroup((3,), suspect=True), [3], [3], 3, is_fresh=True) == Bisection((), culprit=3)


def test_suspects_are_halved_when_no_item_is_known_to_have_run() -> None:
    bisection = bisect(ItemGroup((1, 2, 3, 4, 5)), [1, 2, 3, 4, 5], [1, 2, 3, 4], None, is_fresh=True)
    assert [group.items for group in bisection.groups] == [(1, 2), (3, 4), (5,)]


def test_an_item_alone_is_tried_once_more_unless_it_was_suspect_and_the_process_fresh() -> None:
    again = Bisection((ItemGroup((1,), suspect=True),))
    assert bisect(ItemGroup((1,)), [1], [1], 1, is_fresh=True) == again
    assert bisect(ItemGroup((1,), suspect=True), [1], [1], 1, is_fresh=False) == again


def test_an_item_that_did_not_start_is_no_suspect() -> None:
    assert bisect(ItemGroup((1, 2)), [1, 2], [], None, is_fresh=True) == Bisection((ItemGroup((1, 2)),))


@given(
    size=st.integers(1, 200),
    width=st.integers(1, 20),
    known=st.booleans(),
    data=st.data(),
)
def test_exactly_the_guilty_items_are_found(size: int, width: int, known: bool, data: st.DataObject) -> None:
    culprit = data.draw(st.sets(st.integers(0, size - 1), max_size=4))
    groups = deque([ItemGroup(tuple(range(size)))])
    found: set[int] = set()
    ended: set[int] = set()
    runs, deaths, used = Counter[int](), 0, False
    while groups:
        group = groups.popleft()
        killer = next((item for item in group.items if item in culprit), None)
        is_fresh, used = not used, True
        if killer is None:
            ended.update(group.items)
            runs.update(group.items)
            continue
        at = group.items.index(killer)
        started = group.items[: max(width, at + 1)]
        done = started[: max(0, at + 1 - width)]
        ended.update(done)
        runs.update(started)
        left = [item for item in group.items if item not in done]
        bisection = bisect(group, left, started, killer if known else None, is_fresh=is_fresh)
        deaths, used = deaths + 1, False
        if bisection.culprit is not None:
            found.add(bisection.culprit)
        groups.extendleft(reversed(bisection.groups))
    assert found == culprit
    assert ended == set(range(size)) - culprit
    assert deaths <= len(culprit) * (3 if known else 3 + width.bit_length())
    assert max((runs[item] for item in ended), default=0) <= 1 + len(culprit) * (1 if known else 1 + width.bit_length())

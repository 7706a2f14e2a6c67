"""Who ends processes is found, whatever the chance of it, and nobody else."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from services.worker.quarantine.bisection import Group, Verdict, after_death


def test_whose_code_ran_is_tried_alone_and_then_guilty() -> None:
    first = after_death(Group((1, 2, 3, 4)), [2, 3, 4], [1, 2, 3], 3, fresh=True)
    assert first == Verdict((Group((3,), suspect=True), Group((2,), suspect=True), Group((4,))))
    assert after_death(Group((3,), suspect=True), [3], [3], 3, fresh=True) == Verdict((), guilty=3)


def test_without_that_suspects_are_halved() -> None:
    verdict = after_death(Group((1, 2, 3, 4, 5)), [1, 2, 3, 4, 5], [1, 2, 3, 4], None, fresh=True)
    assert [group.items for group in verdict.groups] == [(1, 2), (3, 4), (5,)]


def test_an_item_alone_is_tried_once_more_unless_it_was_suspect_and_the_process_fresh() -> None:
    again = Verdict((Group((1,), suspect=True),))
    assert after_death(Group((1,)), [1], [1], 1, fresh=True) == again
    assert after_death(Group((1,), suspect=True), [1], [1], 1, fresh=False) == again


def test_who_did_not_begin_is_no_suspect() -> None:
    assert after_death(Group((1, 2)), [1, 2], [], None, fresh=True) == Verdict((Group((1, 2)),))


@given(
    size=st.integers(1, 200),
    width=st.integers(1, 20),
    known=st.booleans(),
    data=st.data(),
)
def test_the_guilty_are_found_and_nobody_else(size: int, width: int, known: bool, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, size - 1), max_size=4))
    groups = deque([Group(tuple(range(size)))])
    found: set[int] = set()
    ended: set[int] = set()
    runs, deaths, used = Counter[int](), 0, False
    while groups:
        group = groups.popleft()
        killer = next((item for item in group.items if item in guilty), None)
        fresh, used = not used, True
        if killer is None:
            ended.update(group.items)
            runs.update(group.items)
            continue
        at = group.items.index(killer)
        begun = group.items[: max(width, at + 1)]
        done = begun[: max(0, at + 1 - width)]
        ended.update(done)
        runs.update(begun)
        left = [item for item in group.items if item not in done]
        verdict = after_death(group, left, begun, killer if known else None, fresh=fresh)
        deaths, used = deaths + 1, False
        if verdict.guilty is not None:
            found.add(verdict.guilty)
        groups.extendleft(reversed(verdict.groups))
    assert found == guilty
    assert ended == set(range(size)) - guilty
    assert deaths <= len(guilty) * (3 if known else 3 + width.bit_length())
    assert max((runs[item] for item in ended), default=0) <= 1 + len(guilty) * (1 if known else 1 + width.bit_length())

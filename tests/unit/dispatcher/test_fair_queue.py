"""A fair queue serves its entries in proportion to their weights."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.fair_queue import FairQueue


def queue(**weights: float) -> FairQueue[str, str]:
    made = FairQueue[str, str]()
    for key, weight in weights.items():
        made.add(key, key.upper(), weight)
    return made


def serve(some: FairQueue[str, str], times: int) -> str:
    """Return the keys served one after the other, at a cost of one each."""
    served = ""
    for _ in range(times):
        key, _ = next(iter(some))
        some.charge(key, 1.0)
        served += key
    return served


def test_entries_of_equal_weight_take_turns_in_order_of_arrival() -> None:
    assert serve(queue(b=1, a=1, c=1), 6) == "bacbac"


def test_service_is_proportional_to_weight() -> None:
    assert Counter(serve(queue(a=3, b=1), 400)) == {"a": 300, "b": 100}


def test_new_weight_applies_to_later_service() -> None:
    some = queue(a=1, b=1)
    assert Counter(serve(some, 100)) == {"a": 50, "b": 50}
    some.set_weight("a", 4)
    assert Counter(serve(some, 100)) == {"a": 80, "b": 20}


def test_weight_and_removal_of_an_unknown_entry_change_nothing() -> None:
    some = queue(a=1, b=1)
    some.set_weight("nobody", 50)
    assert some.remove("nobody") is None
    assert (len(some), some.get("nobody"), serve(some, 4)) == (2, None, "abab")


def test_added_entry_that_already_waits_stays_unchanged() -> None:
    some = queue(a=1, b=1)
    assert serve(some, 1) == "a"
    assert some.add("a", "another", 99) == "A"
    assert [key for key, _ in some] == ["b", "a"]
    assert Counter(serve(some, 100)) == {"a": 50, "b": 50}


def test_leaving_and_returning_gains_no_service() -> None:
    some = queue(a=1, b=1)
    assert serve(some, 2) == "ab"
    some.charge("a", 10.0)
    assert some.remove("a") == "A"
    some.add("a", "A")
    assert serve(some, 10) == "b" * 10


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["come", "go", "serve"])), max_size=400))
def test_no_waiting_entry_is_lost_as_others_come_and_go(steps: list[tuple[int, str]]) -> None:
    some, waiting = FairQueue[int, int](), set[int]()
    for key, step in steps:
        if step == "come":
            some.add(key, -key)
            waiting.add(key)
        elif step == "go":
            assert some.remove(key) == (-key if key in waiting else None)
            waiting.discard(key)
        elif waiting:
            first, _ = next(iter(some))
            some.charge(first, 1.0 + key)
    assert {key: value for key, value in some} == {key: -key for key in waiting}  # noqa: C416  each comes once
    assert len(list(some)) == len(some) == len(waiting)

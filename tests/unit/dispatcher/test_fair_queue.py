"""A fair queue serves those who wait in proportion to their weights."""

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
    """The keys that are served one after the other, at a cost of one each."""
    served = ""
    for _ in range(times):
        key, _ = next(iter(some))
        some.charge(key, 1.0)
        served += key
    return served


def test_equals_take_turns_in_the_order_of_their_coming() -> None:
    assert serve(queue(b=1, a=1, c=1), 6) == "bacbac"


def test_a_weight_is_a_share() -> None:
    assert Counter(serve(queue(a=3, b=1), 400)) == {"a": 300, "b": 100}


def test_a_new_weight_holds_for_what_is_served_from_then_on() -> None:
    some = queue(a=1, b=1)
    assert Counter(serve(some, 100)) == {"a": 50, "b": 50}
    some.set_weight("a", 4)
    assert Counter(serve(some, 100)) == {"a": 80, "b": 20}


def test_one_that_does_not_wait_cannot_be_weighed_or_removed() -> None:
    some = queue(a=1, b=1)
    some.set_weight("nobody", 50)
    assert some.remove("nobody") is None
    assert (len(some), some.get("nobody"), serve(some, 4)) == (2, None, "abab")


def test_one_that_waits_already_keeps_its_value_weight_and_place() -> None:
    some = queue(a=1, b=1)
    assert serve(some, 1) == "a"
    assert some.add("a", "another", 99) == "A"
    assert [key for key, _ in some] == ["b", "a"]
    assert Counter(serve(some, 100)) == {"a": 50, "b": 50}


def test_leaving_and_coming_back_gains_nothing() -> None:
    some = queue(a=1, b=1)
    assert serve(some, 2) == "ab"
    some.charge("a", 10.0)
    assert some.remove("a") == "A"
    some.add("a", "A")
    assert serve(some, 10) == "b" * 10


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["come", "go", "serve"])), max_size=400))
def test_nobody_who_waits_is_lost_whoever_comes_and_goes(steps: list[tuple[int, str]]) -> None:
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

"""Calls outside of batches share the concurrency of a partition with its items."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import Limit, Manifest, Partition
from services.dispatcher.domain.rate_limiting.call_places import CallPlaces
from services.dispatcher.domain.rate_limiting.limit_set import LimitSet

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def places(concurrency: int | None = 2, **manifest: object) -> tuple[LimitSet, CallPlaces]:
    described = {"name": "w", "version": "1", "item_schema": {}, "result_schema": {}}
    given_ = described | {"partition": Partition(pointer="/a"), "partition_concurrency": concurrency} | manifest
    limits = LimitSet(Manifest.model_validate(given_))
    return limits, CallPlaces(limits)


def test_items_and_calls_together_keep_the_concurrency() -> None:
    limits, calls = places()
    limits.record_dispatched("a", 1, 0.0)
    assert calls.request(A, "a", 60, 0.0)
    assert limits.room("a", 5, 0.0)[0] == 0
    assert not calls.request(B, "a", 60, 0.0)
    assert calls.request(C, "another", 60, 0.0)
    calls.end(A)
    assert limits.room("a", 5, 0.0)[0] == 0, "items make room for the call that waits"
    assert calls.request(B, "a", 60, 0.0)
    assert (calls.end(B), calls.end(B)) == ("a", None)
    assert limits.room("a", 5, 0.0)[0] == 1


def test_calls_get_their_places_in_order() -> None:
    _, calls = places(concurrency=1)
    assert calls.request(A, "a", 60, 0.0)
    for waiting in (B, C):
        assert not calls.request(waiting, "a", 60, 0.0)
    calls.end(A)
    assert not calls.request(C, "a", 60, 0.0)
    assert calls.request(B, "a", 60, 0.0)


def test_a_place_is_free_again_although_the_end_of_its_call_was_not_reported() -> None:
    limits, calls = places(concurrency=1)
    assert calls.request(A, "a", 60, 0.0)
    assert not calls.request(B, "a", 60, 0.0)
    assert calls.end_expired(10.0) == ["a"], "nobody has asked again for B"
    assert calls.end_expired(60.0) == ["a"]
    assert limits.room("a", 5, 60.0)[0] == 1


def test_another_limit_counts_what_is_in_flight_already() -> None:
    limits, calls = places(concurrency=None)
    limits.record_dispatched("a", 2, 0.0)
    assert calls.request(A, "a", 60, 0.0)
    described = {"name": "w", "version": "2", "item_schema": {}, "result_schema": {}}
    whole = Limit(name="account", concurrency=3)
    limits.set_manifest(
        Manifest.model_validate(described | {"partition": {"pointer": "/a"}, "limits": [whole]}), 1, 0.0
    )
    assert limits.room("a", 5, 0.0)[0] == 0
    limits.record_returned("a", 2)
    calls.end(A)
    assert limits.room("a", 5, 0.0)[0] == 3


@given(st.lists(st.tuples(st.sampled_from(["ask", "end", "item"]), st.integers(1, 6)), max_size=60))
def test_no_more_run_than_the_limit_allows_and_every_call_runs_in_the_end(events: list[tuple[str, int]]) -> None:
    limits, calls = places(concurrency=3)
    running, waiting, items = set[int](), list[int](), 0
    for event, number in events:
        if event == "ask" and number not in running:
            waiting += [number] if number not in waiting else []
            if calls.request(UUID(int=number), "a", 60, 0.0):
                running.add(number)
                waiting.remove(number)
        elif event == "end":
            calls.end(UUID(int=number))
            running.discard(number)
            waiting = [other for other in waiting if other != number]
        elif event == "item" and limits.room("a", 1, 0.0)[0]:
            limits.record_dispatched("a", 1, 0.0)
            items += 1
        assert len(running) + items <= 3
    limits.record_returned("a", items)
    for number in [*running, *waiting]:
        assert calls.request(UUID(int=number), "a", 60, 0.0)
        calls.end(UUID(int=number))

"""Limit sets and buckets: the room of a partition, and the time at which to ask again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.partition import join, split
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import ItemError, Rate
from services.dispatcher.domain.rate_limiting.dispatch_rate import AHEAD_S, TOLERANCE_S, DispatchRate
from services.dispatcher.domain.rate_limiting.limit_set import MAX_LEARNED, LimitSet
from services.dispatcher.domain.rate_limiting.limiter import NEVER
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow


def manifest(**settings: Any) -> Manifest:
    return Manifest.model_validate({"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings)


BY_HOST_AND_ACCOUNT = manifest(
    partition={"pointer": "/url", "by": "host"},
    partition_concurrency=5,
    limits=[
        {"name": "account", "partition": {"pointer": "/account"}, "concurrency": 3},
        {"name": "all", "concurrency": 6},
    ],
)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_joined_partition_splits_into_the_same_parts(parts: list[str]) -> None:
    assert split(join(parts), len(parts)) == tuple(parts)


def test_partition_with_fewer_parts_gets_empty_ones() -> None:
    assert split("a.example", 3) == ("a.example", "", "")


@given(
    st.floats(0.1, 5000),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 200)), max_size=60),
)
def test_bucket_leads_its_rate_by_a_bounded_number_of_items(
    per_second: float, burst: int, asked: list[tuple[float, int]]
) -> None:
    bucket, rate, now, given_out = DispatchRate(), Rate(per_second=per_second, burst=burst), 100.0, 0
    for pause, wanted in asked:
        now += pause
        count, again_at = bucket.room(rate, wanted, now)
        assert (count == 0) == (again_at > now)
        if count == 0:
            assert bucket.room(rate, wanted, again_at + 1e-6)[0] > 0
        bucket.take(rate, count, now)
        given_out += count
    most = (now - 100.0 + AHEAD_S) * per_second / (1 + TOLERANCE_S) + burst
    assert given_out <= most + 1e-3


def test_slow_earlier_rate_does_not_delay_a_faster_one() -> None:
    bucket, slow, fast = DispatchRate(), Rate(per_second=0.01), Rate(per_second=100)
    bucket.take(slow, 1, 0.0)
    assert bucket.room(slow, 1, 1.0)[0] == 0
    bucket.change_rate(slow, fast, 1.0)
    _, again_at = bucket.room(fast, 1, 1.0)
    assert again_at < 1.1


def test_items_of_a_faster_rate_count_at_the_slower_one() -> None:
    bucket, fast, slow = DispatchRate(), Rate(per_second=100), Rate(per_second=10)
    count, _ = bucket.room(fast, 1000, 0.0)
    bucket.take(fast, count, 0.0)
    bucket.change_rate(fast, slow, 0.0)
    assert bucket.gcra.full_at == pytest.approx(count / 10 * (1 + TOLERANCE_S))
    bucket.limit_lead(slow, 3, 0.0)  # the others returned
    assert bucket.gcra.full_at == pytest.approx(4 / 10 * (1 + TOLERANCE_S))


def test_returned_items_do_not_refill_the_bucket() -> None:
    bucket, rate = DispatchRate(), Rate(per_second=10)
    bucket.take(rate, 5, 0.0)
    bucket.limit_lead(rate, 0, 0.0)
    assert bucket.gcra.full_at == pytest.approx(5 / 10 * (1 + TOLERANCE_S))


def test_items_with_long_waits_delay_the_next_ones_once() -> None:
    bucket, rate = DispatchRate(), Rate(per_second=10)
    bucket.record_wait(AHEAD_S, 0.0, 1.0)
    assert bucket.room(rate, 1, 1.0)[0] == 1
    bucket.record_wait(3.0, 0.5, 1.0)
    late = bucket.gcra.full_at
    assert late == pytest.approx(1.0 + 3.0 - 1.5 * AHEAD_S)
    bucket.record_wait(3.0, 0.9, 1.1)  # dispatched before the correction
    assert bucket.gcra.full_at == late


def test_room_is_the_minimum_of_all_limits() -> None:
    limits = LimitSet(BY_HOST_AND_ACCOUNT)
    one, two, other = (
        join(
            [
                "a",
                "1",
            ]
        ),
        join(["a", "2"]),
        join(["b", "2"]),
    )
    assert limits.room(one, 10, 0.0) == (3, 0.0)
    limits.record_dispatched(one, 3, 0.0)
    assert limits.room(one, 10, 0.0) == (0, NEVER)
    assert limits.room(two, 10, 0.0) == (2, 0.0)  # two of five left for the host
    limits.record_dispatched(two, 2, 0.0)
    assert limits.room(other, 10, 0.0) == (1, 0.0)  # one of three left for the account, one of six in total
    limits.record_dispatched(other, 1, 0.0)
    assert limits.is_full(0.0)
    limits.record_returned(one, 3)
    assert not limits.is_full(0.0)
    assert limits.room(one, 10, 0.0) == (3, 0.0)


def test_rate_keys_name_all_rates_of_a_partition() -> None:
    rates = {"a": {"per_second": 5, "burst": 2}}
    account = {"name": "account", "partition": {"pointer": "/account"}, "rate": {"per_second": 1}}
    limits = LimitSet(manifest(partition={"pointer": "/host"}, rates=rates, limits=[account]))
    keys = {key.key: key for key in limits.rate_keys(join(["a", "x"]))}
    assert set(keys) == {"partition:a", "account:x"}
    assert keys["partition:a"].per_second == pytest.approx(5 / (1 + TOLERANCE_S))
    assert keys["partition:a"].burst == 2
    assert [key.key for key in limits.rate_keys(join(["b", "x"]))] == ["account:x"]
    assert not LimitSet(manifest()).rate_keys("")


def test_new_manifest_changes_limits_and_keeps_counts() -> None:
    limits = LimitSet(manifest(partition_concurrency=5))
    limits.record_dispatched("", 4, 0.0)
    limits.set_manifest(manifest(partition_concurrency=6), 7, 1.0)
    assert limits.room("", 10, 1.0) == (2, 1.0)
    limits.set_manifest(manifest(rate={"per_second": 10}), 8, 1.0)
    assert limits.rate_keys("")[0].version == 8


def test_idle_limiters_are_removed_when_there_are_many() -> None:
    limits = LimitSet(manifest(partition={"pointer": "/host"}, rate={"per_second": 100}))
    for n in range(3000):
        limits.record_dispatched(str(n), 1, 0.0)
        if n:
            limits.record_returned(str(n), 1)
    assert len(list(limits)) == 3000
    limits.drop_idle(10.0)
    assert [limiter.value for limiter in limits] == ["0"]


def test_idle_adaptive_limiters_are_removed_and_their_rates_kept_up_to_a_number() -> None:
    limits = LimitSet(manifest(partition={"pointer": "/url"}, adaptive={"floor": 1, "ceiling": 100, "start": 50}))
    for number in range(MAX_LEARNED + 2000):
        now = number / 100
        name = f"host{number}"
        limits.record_dispatched(name, 1, now)
        limits.record_returned(name, 1)
        (limiter,) = limits.limiters_of(name)
        assert limiter.adaptive_rate is not None
        limiter.adaptive_rate.rate = 7.0
        limits.drop_idle(now)
    assert len(list(limits)) < MAX_LEARNED, "those without an item for a minute are gone"
    limits.drop_idle(1e6)
    limits.limiters_of("host0")
    limits._cleanup_size = 0
    limits.drop_idle(2e6)
    assert (len(list(limits)), len(limits.learned)) == (0, MAX_LEARNED)
    (again,) = limits.limiters_of(f"host{MAX_LEARNED}")
    assert again.rate is not None
    assert (again.rate.per_second, again.reason) == (7.0, "learned earlier")


def test_remaining_calls_apply_only_to_the_limit_of_the_destination() -> None:
    window = InFlightWindow(BY_HOST_AND_ACCOUNT, workers=1)
    first = join(["a.example", "ann"])
    window.record_feedback(first, DestinationFeedback(remaining=1, reset_s=60.0), 0.0, 10.0)
    assert all(not limiter.backoff_until for limiter in window.limits.limiters_of(first)), (
        "none is out: one call may follow"
    )
    window.record_feedback(first, DestinationFeedback(remaining=0, reset_s=60.0), 0.0, 10.0)
    parked = {limiter.limit: limiter.backoff_until for limiter in window.limits.limiters_of(first)}
    assert parked == {"partition": 70.0, "account": 0.0, "all": 0.0}


CAPTCHA = ItemError(code="captcha", scope="provider")
CIRCUITS = manifest(partition={"pointer": "/url", "by": "host"}, circuit={"base_s": 10, "cap_s": 20, "give_up_s": 100})


def refusing(*partitions: str) -> LimitSet:
    """Return limits whose providers refuse since time 0."""
    limits = LimitSet(CIRCUITS)
    for partition in partitions:
        (limiter,) = limits.limiters_of(partition)
        assert limits.rule is not None
        limiter.circuit.record_refusal(CAPTCHA, limits.rule, 0.0)
    return limits


def hopeless(limits: LimitSet, now: float) -> list[tuple[str, str]]:
    return [(limiter.value, error.code) for limiter, error in limits.take_hopeless(now)]


def test_provider_that_refuses_for_too_long_is_hopeless_once_in_a_while() -> None:
    limits = refusing("a.example", "b.example")
    limits.limiters_of("c.example")
    assert hopeless(limits, 99.0) == []
    assert hopeless(limits, 100.0) == [("a.example", "captcha"), ("b.example", "captcha")]
    assert hopeless(limits, 199.0) == [], "the next items get as long"
    limits.limiters_of("a.example")[0].circuit.close()
    assert hopeless(limits, 200.0) == [("b.example", "captcha")]


def test_provider_is_not_hopeless_while_a_probe_is_in_flight() -> None:
    limits = refusing("a.example")
    limits.record_dispatched("a.example", 1, 100.0)
    assert hopeless(limits, 150.0) == []
    limits.record_returned("a.example", 1)
    assert hopeless(limits, 150.0) == [("a.example", "captcha")]


def test_no_provider_is_hopeless_without_a_circuit_rule() -> None:
    limits = refusing("a.example")
    limits.set_manifest(manifest(), 1, 50.0)
    assert hopeless(limits, 200.0) == []

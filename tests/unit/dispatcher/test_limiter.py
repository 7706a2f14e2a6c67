"""A limiter applies one limit at one of its values, and a limit set all limits of a workload."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.partition import join
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Adaptive, CircuitRule, Manifest
from batchyard_contracts.v1.values import ItemError, Rate
from services.dispatcher.domain.rate_limiting.dispatch_rate import AHEAD_S, TOLERANCE_S
from services.dispatcher.domain.rate_limiting.limit_set import LimitSet
from services.dispatcher.domain.rate_limiting.limiter import NEVER, LearnedRate, Limiter, LimitTerms

CAPTCHA = ItemError(code="captcha", scope="provider")
RULE = CircuitRule(base_s=5, cap_s=15)
ADAPTIVE = Adaptive(floor=5, ceiling=50, start=10)
FREE, TEN, TWENTY = LimitTerms(), Rate(per_second=10), Rate(per_second=20)


def limiter(terms: LimitTerms = FREE, now: float = 0.0) -> Limiter:
    made = Limiter("partition", "a.example")
    made.set_terms(terms, 1, now)
    return made


def limit_set(**settings: Any) -> LimitSet:
    fields = {"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings
    return LimitSet(Manifest.model_validate(fields))


def in_force(limits: LimitSet, limit: str, value: str) -> tuple[float | None, int | None, str]:
    found = limits.limiter(limit, value)
    assert found is not None
    return (found.rate.per_second if found.rate else None, found.terms.concurrency, found.reason)


def test_limiter_without_limits_allows_everything() -> None:
    assert limiter().room(500, 3.0) == (500, 3.0)


def test_backoff_holds_until_its_end_and_a_shorter_one_is_ignored() -> None:
    paused = limiter()
    paused.back_off(9.0, "first")
    paused.back_off(4.0, "shorter")
    assert (paused.room(5, 3.0), paused.backoff_reason) == ((0, 9.0), "first")
    assert paused.room(5, 9.0) == (5, 9.0)


def test_open_circuit_allows_a_single_item_at_its_next_probe() -> None:
    refused = limiter()
    refused.record_dispatched(3, 0.0)
    refused.circuit.record_refusal(CAPTCHA, RULE, 0.0)
    assert refused.room(9, 1.0) == (0, 5.0)
    assert refused.room(9, 6.0) == (0, NEVER), "three are still in flight: ask when they are back"
    refused.record_returned(3)
    assert refused.room(9, 6.0) == (1, 6.0)
    refused.record_dispatched(1, 6.0)
    assert refused.room(9, 60.0) == (0, NEVER), "the test item is in flight"
    refused.record_returned(1)
    assert refused.room(9, 60.0) == (1, 60.0), "nothing was heard of it: another one tries"


def test_probe_of_a_circuit_respects_the_other_limits() -> None:
    refused = limiter(LimitTerms(rate=TEN))
    refused.circuit.record_refusal(CAPTCHA, RULE, 0.0)
    refused.bucket.gcra.full_at = 20.0
    count, again_at = refused.room(9, 6.0)
    assert count == 0
    assert 6.0 < again_at < 20.0


def test_concurrency_bounds_the_items_in_flight() -> None:
    bounded = limiter(LimitTerms(concurrency=3))
    bounded.record_dispatched(2, 0.0)
    assert bounded.room(9, 0.0) == (1, 0.0)
    bounded.record_dispatched(1, 0.0)
    assert bounded.room(9, 0.0) == (0, NEVER)


def test_rate_returns_the_time_of_the_next_items() -> None:
    paced = limiter(LimitTerms(rate=TEN))
    count, again_at = paced.room(100, 0.0)
    assert (count, again_at) == (5, 0.0), "half a second ahead of its time, and one at once"
    paced.record_dispatched(count, 0.0)
    count, again_at = paced.room(100, 0.0)
    assert count == 0
    assert again_at == pytest.approx((5 + 2) * (1 + TOLERANCE_S) / 10 - AHEAD_S - (1 + TOLERANCE_S) / 10, abs=0.11)


@pytest.mark.parametrize(
    ("terms", "cause", "rate"),
    [
        (LimitTerms(), "no limit", None),
        (LimitTerms(rate=TEN), "the manifest", TEN),
        (LimitTerms(rate=TEN, set_by_operator=True), "set by an operator", TEN),
        (LimitTerms(concurrency=4, set_by_operator=True), "set by an operator", None),
        (LimitTerms(adaptive=ADAPTIVE), "initial rate", TEN),
    ],
)
def test_reason_names_the_origin_of_a_rate(terms: LimitTerms, cause: str, rate: Rate | None) -> None:
    made = limiter(terms)
    assert (made.reason, made.rate) == (cause, rate)


def test_only_a_changed_rate_gets_a_new_version() -> None:
    made = limiter(LimitTerms(rate=TEN))
    made.set_terms(LimitTerms(rate=TEN, concurrency=3), 2, 1.0)
    assert (made.version, made.rate, made.terms.concurrency) == (1, TEN, 3)
    made.set_terms(LimitTerms(rate=TWENTY), 3, 1.0)
    assert (made.version, made.rate) == (3, TWENTY)
    made.set_terms(LimitTerms(), 4, 1.0)
    assert (made.version, made.rate, made.reason) == (4, None, "no limit")


def test_adaptive_rate_continues_from_the_learned_rate_after_new_bounds() -> None:
    made = Limiter("partition", "a.example")
    made.set_terms(LimitTerms(adaptive=ADAPTIVE), 1, 0.0, LearnedRate(33.0, capacity=40.0))
    assert (made.rate, made.reason) == (Rate(per_second=33), "learned earlier")
    known = made.adaptive_rate
    made.set_terms(LimitTerms(adaptive=ADAPTIVE, concurrency=9), 2, 1.0)
    assert made.adaptive_rate is known, "the same bounds: nothing is forgotten"
    made.set_terms(LimitTerms(adaptive=Adaptive(floor=1, ceiling=20)), 3, 2.0)
    assert made.adaptive_rate is not known
    assert (made.rate, made.reason) == (Rate(per_second=20), "learned earlier")
    assert made.adaptive_rate is not None
    assert made.adaptive_rate.capacity == 40.0
    made.set_terms(LimitTerms(rate=TEN), 4, 3.0)
    assert made.adaptive_rate is None
    assert made.rate == TEN


def test_feedback_changes_an_adaptive_rate_with_a_reason() -> None:
    made = limiter(LimitTerms(adaptive=ADAPTIVE))
    change = made.record_feedback(DestinationFeedback(answered=9, rate_limited=3), 0.0, 77, 1.0)
    assert change is not None
    assert (change.before, change.after) == (10, 6)
    assert (made.rate, made.version, made.reason) == (Rate(per_second=6), 77, "3 calls refused")
    assert made.record_feedback(DestinationFeedback(answered=1), 0.0, 78, 1.01) is None
    assert made.version == 77


def test_feedback_does_not_change_a_fixed_rate() -> None:
    made = limiter(LimitTerms(rate=TEN))
    assert made.record_feedback(DestinationFeedback(rate_limited=50), 0.0, 2, 1.0) is None
    assert (made.rate, made.version) == (TEN, 1)


@pytest.mark.parametrize(
    ("remaining", "in_flight", "paused"), [(0, 0, True), (3, 3, True), (2, 3, True), (4, 3, False), (1, 0, False)]
)
def test_destination_gets_no_more_than_its_remaining_calls(remaining: int, in_flight: int, paused: bool) -> None:
    made = limiter()
    made.record_dispatched(in_flight, 0.0)
    made.record_feedback(DestinationFeedback(remaining=remaining, reset_s=30.0), 0.0, 1, 10.0)
    assert made.backoff_until == (40.0 if paused else 0.0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.record_dispatched(1, 0.0),
        lambda t: t.bucket.take(TEN, 100, 0.0),
        lambda t: t.back_off(99.0, ""),
        lambda t: t.circuit.record_refusal(CAPTCHA, RULE, 0.0),
        lambda t: t.set_terms(LimitTerms(adaptive=ADAPTIVE), 1, 0.0),
        lambda t: t.set_terms(LimitTerms(set_by_operator=True), 1, 0.0),
    ],
    ids=["in flight", "ahead of its rate", "paused", "circuit open", "has learned", "set by an operator"],
)
def test_limiter_with_state_is_not_idle(spoil: Any) -> None:
    made = limiter()
    assert made.is_idle(1.0)
    spoil(made)
    assert not made.is_idle(1.0)


LIMITS: dict[str, Any] = {
    "partition": {"pointer": "/host"},
    "rate": {"per_second": 10},
    "rates": {"slow.example": {"per_second": 1}},
    "partition_concurrency": 4,
    "limits": [{"name": "account", "partition": {"pointer": "/account"}, "adaptive": {"floor": 2, "ceiling": 9}}],
}


def test_manifest_sets_the_limits_of_each_value() -> None:
    limits = limit_set(**LIMITS)
    assert limits.names == ["partition", "account"]
    assert in_force(limits, "partition", "a.example") == (10, 4, "the manifest")
    assert in_force(limits, "partition", "slow.example") == (1, 4, "the manifest")
    assert in_force(limits, "account", "ann") == (2, None, "initial rate")
    assert limits.limiter("unheard-of", "ann") is None


def test_operator_overrides_one_value_and_removes_the_override() -> None:
    limits = limit_set(**LIMITS)
    limits.override("partition", "a.example", LimitTerms(rate=TWENTY, set_by_operator=True), 5, 1.0)
    assert in_force(limits, "partition", "a.example") == (20, 4, "set by an operator")
    assert in_force(limits, "partition", "b.example") == (10, 4, "the manifest")
    limits.override("partition", "a.example", None, 6, 2.0)
    assert in_force(limits, "partition", "a.example") == (10, 4, "the manifest")
    limits.override("partition", "a.example", None, 7, 3.0)
    assert in_force(limits, "partition", "a.example") == (10, 4, "the manifest"), "taken back twice is taken back"


def test_override_for_one_value_precedes_the_one_for_all_values() -> None:
    limits = limit_set(**LIMITS)
    assert in_force(limits, "partition", "a.example") == (10, 4, "the manifest")
    limits.override("partition", None, LimitTerms(rate=TWENTY, set_by_operator=True), 5, 1.0)
    limits.override(
        "partition", "b.example", LimitTerms(rate=Rate(per_second=3), concurrency=1, set_by_operator=True), 6, 1.0
    )
    assert in_force(limits, "partition", "a.example") == (20, 4, "set by an operator")
    assert in_force(limits, "partition", "b.example") == (3, 1, "set by an operator")
    assert in_force(limits, "partition", "slow.example")[0] == 20, "made later, and set before the manifest's own rate"
    assert in_force(limits, "account", "ann") == (2, None, "initial rate"), "another limit"


def test_override_of_the_concurrency_keeps_the_rate() -> None:
    limits = limit_set(**LIMITS)
    limits.override("partition", "a.example", LimitTerms(concurrency=2, set_by_operator=True), 5, 1.0)
    assert in_force(limits, "partition", "a.example") == (10, 2, "set by an operator")
    limits.override("account", None, LimitTerms(concurrency=1, set_by_operator=True), 5, 1.0)
    assert in_force(limits, "account", "ann") == (2, 1, "initial rate"), "it still follows its destination"
    limits.override("account", None, LimitTerms(rate=TEN, set_by_operator=True), 5, 1.0)
    assert in_force(limits, "account", "ann") == (10, None, "set by an operator")


def test_limit_missing_in_a_new_manifest_no_longer_applies() -> None:
    limits = limit_set(**LIMITS)
    account = limits.limiter("account", "ann")
    assert account is not None
    limits.set_manifest(Manifest(name="w", version="2", item_schema={}, result_schema={}), 8, 1.0)
    assert limits.limiter("account", "ann") is None
    assert (account.rate, account.terms) == (None, LimitTerms())
    assert limits.room(join(["a.example", "ann"]), 1000, 1.0) == (1000, 1.0)


def test_learned_rate_is_used_once_by_its_value() -> None:
    limits = limit_set(**LIMITS)
    limits.learned["account", "ann"] = LearnedRate(7.0)
    assert in_force(limits, "account", "ann") == (7, None, "learned earlier")
    assert in_force(limits, "account", "bob") == (2, None, "initial rate")
    assert limits.learned == {}


def test_partitions_of_a_limiter_are_listed() -> None:
    limits = limit_set(**LIMITS)
    one, two, other = (join(parts) for parts in (["a", "ann"], ["b", "ann"], ["a", "bob"]))
    for partition in (one, two, other):
        limits.limiters_of(partition)
    ann, host = limits.limiter("account", "ann"), limits.limiter("partition", "a")
    assert ann is not None
    assert host is not None
    assert limits.partitions_of(ann) == {one, two}
    assert limits.partitions_of(host) == {one, other}


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["ann", "bob"]), st.integers(1, 9))))
def test_nothing_is_in_flight_after_all_items_returned_in_any_order(chunks: list[tuple[str, str, int]]) -> None:
    limits = limit_set(**LIMITS)
    partitions = [(join([host, account]), count) for host, account, count in chunks]
    for partition, count in partitions:
        limits.record_dispatched(partition, count, 0.0)
    for partition, count in sorted(partitions):
        limits.record_returned(partition, count)
    assert all(limiter.in_flight == 0 for limiter in limits)
    unused = limit_set(**LIMITS)
    assert all(limits.room(partition, 9, 1e6) == unused.room(partition, 9, 1e6) for partition, _ in partitions)

"""Requests are counted in periods, in bounded memory."""

from services.ingest.domain.period_counter import MAX_COUNTED
from services.ingest.domain.request_quota import RequestQuota


def test_requests_beyond_the_quota_are_told_until_the_period_ends() -> None:
    quota = RequestQuota("owner", 10)
    assert [quota.take("a", 3, 100.0 + n).left for n in range(5)] == [2, 1, 0, -1, -1]
    assert quota.take("b", 3, 104.0).left == 2
    assert quota.take("a", 3, 110.0).left == 2


def test_the_headers_tell_quota_rest_and_time() -> None:
    quota = RequestQuota("owner", 10)
    first, beyond = quota.take("a", 1, 20.0), quota.take("a", 1, 23.5)
    assert (first.policy_header, first.header) == ('"owner";q=1;w=10', '"owner";r=0;t=10')
    assert beyond.header == '"owner";r=0;t=7'


def test_any_number_of_owners_takes_bounded_memory() -> None:
    quota = RequestQuota("key", 10)
    for number in range(MAX_COUNTED + 100):
        assert quota.take(str(number), 5, 1.0).left >= 0
    assert len(quota.counter.own(1.0)[1]) <= MAX_COUNTED


def test_requests_that_others_have_counted_in_the_same_period_count_too() -> None:
    quota = RequestQuota("owner", 10)
    quota.take("a", 5, 101.0)
    quota.counter.set_others({"a": 3, "b": 5}, 102.0)
    assert [quota.take("a", 5, 103.0).left, quota.take("a", 5, 104.0).left, quota.take("b", 5, 105.0).left] == [
        0,
        -1,
        -1,
    ]
    assert quota.take("b", 5, 110.0).left == 4

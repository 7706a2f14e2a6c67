"""Owners are kept within their limits."""

from contextlib import ExitStack
from typing import Any, cast

import msgspec
import pytest

from batchyard_contracts.v1.values import Notifications
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import DELIVERIES_PERIOD_S, OwnerLimits
from services.ingest.limits.limit_keeper import LimitKeeper, TooManyRequests, Use

RECEIVERS = Notifications(webhooks=["https://a.example/", "https://b.example/"], emails=["a@example.org"])


class Store:
    """Limits that were set."""

    def __init__(self) -> None:
        self.set: dict[str, dict[str, Any]] = {}

    async def all(self) -> dict[str, dict[str, Any]]:
        return self.set


class Clock:
    def __init__(self) -> None:
        self.now = 10.0 * DELIVERIES_PERIOD_S

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(store: Store, clock: Clock) -> LimitKeeper:
    return LimitKeeper(cast("Any", store), OwnerLimits(uploads=2, requests=4, key_requests=3, deliveries=4), clock)


def caller(owner: str = "ann", key: str | None = "k1") -> Caller:
    return Caller(owner, frozenset(), key)


def test_a_key_and_the_keys_of_an_owner_together_have_quotas(keeper: LimitKeeper) -> None:
    left = [keeper.take_request(caller(key="k1")) for _ in range(3)]
    assert [(one.name, one.left) for one in left] == [("key", 2), ("key", 1), ("key", 0)]
    with pytest.raises(TooManyRequests, match="This API key"):
        keeper.take_request(caller(key="k1"))
    with pytest.raises(TooManyRequests, match="Your API keys"):
        keeper.take_request(caller(key="k2"))
    assert keeper.take_request(caller("bob", "k3")).left == 2


def test_a_refused_request_says_when_to_come_again(keeper: LimitKeeper, clock: Clock) -> None:
    for _ in range(3):
        keeper.take_request(caller())
    clock.now += 4
    with pytest.raises(TooManyRequests) as refused:
        keeper.take_request(caller())
    assert (refused.value.rejection.status, refused.value.rejection.retry_after_s) == (429, 6)
    clock.now += 6
    assert keeper.take_request(caller()).left == 2


@pytest.mark.parametrize("name", ["uploads", "websockets", "questions"])
async def test_uses_at_a_time_are_limited_for_each_owner(keeper: LimitKeeper, store: Store, name: str) -> None:
    store.set = {"ann": {name: 2}}
    await keeper.refresh()
    one_more = getattr(keeper, name[:-1])
    with ExitStack() as stack:
        stack.enter_context(one_more("ann"))
        stack.enter_context(one_more("ann"))
        with pytest.raises(IngestError) as refused, one_more("ann"):
            pass
        stack.enter_context(one_more("bob"))
        assert keeper.use("ann")[name] == 2
    assert refused.value.rejection.code == f"too_many_{name}"
    assert refused.value.rejection.status == 429
    assert refused.value.rejection.retry_after_s
    with one_more("ann"):
        assert keeper.use("ann")[name] == 1


def test_receivers_of_notifications_are_counted_in_an_hour(keeper: LimitKeeper, clock: Clock) -> None:
    for _ in range(2):
        keeper.take_deliveries("ann", RECEIVERS)
    with pytest.raises(IngestError) as refused:
        keeper.take_deliveries("ann", RECEIVERS)
    assert refused.value.rejection.retry_after_s == DELIVERIES_PERIOD_S
    keeper.take_deliveries("ann", Notifications())
    keeper.take_deliveries("bob", RECEIVERS)
    clock.now += DELIVERIES_PERIOD_S
    keeper.take_deliveries("ann", RECEIVERS)


def test_use_in_other_processes_counts_too(keeper: LimitKeeper, clock: Clock) -> None:
    elsewhere = LimitKeeper(cast("Any", None), OwnerLimits(uploads=2, requests=4, key_requests=3, deliveries=4), clock)
    with elsewhere.upload("ann"), keeper.upload("ann"):
        elsewhere.take_request(caller(key="k2"))
        elsewhere.take_request(caller(key="k2"))
        for _ in range(2):
            elsewhere.take_deliveries("ann", RECEIVERS)
        told = msgspec.json.decode(msgspec.json.encode(elsewhere.own_use()), type=Use)
        keeper.set_use_elsewhere([told, told])
        with pytest.raises(IngestError, match="uploads"), keeper.upload("ann"):
            pass
        with pytest.raises(IngestError, match="receivers"):
            keeper.take_deliveries("ann", RECEIVERS)
        with pytest.raises(TooManyRequests, match="Your API keys"):
            keeper.take_request(caller(key="k1"))
        assert keeper.take_request(caller("bob", "k3")).left == 2
        assert (keeper.use("ann")["uploads"], keeper.use("bob")["uploads"]) == (3, 0)
        clock.now += 10
        keeper.set_use_elsewhere([told])
        assert keeper.take_request(caller(key="k1")).left == 2, "that was in another period"
        keeper.set_use_elsewhere([])
        with keeper.upload("ann"):
            assert keeper.use("ann")["uploads"] == 2


async def test_limits_that_were_set_hold_after_the_next_look_and_others_keep_the_defaults(
    keeper: LimitKeeper, store: Store
) -> None:
    store.set = {"ann": {"uploads": 7, "weight": 2.0, "of_a_newer_version": 1}}
    await keeper.refresh()
    assert (keeper.limits("ann").uploads, keeper.limits("ann").requests) == (7, 4)
    assert keeper.limits("bob").uploads == 2
    store.set = {}
    await keeper.refresh()
    assert keeper.limits("ann").uploads == 2


async def test_stored_limits_that_cannot_be_read_leave_the_defaults(keeper: LimitKeeper, store: Store) -> None:
    store.set = {"ann": {"uploads": "many"}, "bob": {"uploads": 3}}
    await keeper.refresh()
    assert (keeper.limits("ann").uploads, keeper.limits("bob").uploads) == (2, 3)


async def test_a_key_near_a_limit_that_was_set_lower_is_told_to_other_processes(store: Store, clock: Clock) -> None:
    store.set = {"ann": {"key_requests": 2}}
    defaults = OwnerLimits(requests=10_000, key_requests=10_000)
    one, other = (LimitKeeper(cast("Any", store), defaults, clock) for _ in range(2))
    await one.refresh()
    await other.refresh()
    for _ in range(2):
        one.take_request(caller())
    other.set_use_elsewhere([one.own_use()])
    with pytest.raises(TooManyRequests, match="This API key"):
        other.take_request(caller())
    other.take_request(caller(owner="bob"))

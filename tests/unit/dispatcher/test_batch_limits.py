"""The rate and the concurrency that a batch has of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.values import Rate, Terms
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits

RATE = Rate(per_second=10, burst=6)


def limits(terms: Terms, now: float = 0.0, before: BatchLimits | None = None, *, begun: bool = False) -> BatchLimits:
    made = BatchLimits.of(terms, now, before, has_started=begun)
    assert made is not None
    return made


def test_terms_without_limits_give_no_batch_limits() -> None:
    assert BatchLimits.of(Terms(weight=5), 0.0, None, has_started=False) is None
    known = limits(Terms(rate=RATE))
    assert BatchLimits.of(Terms(), 0.0, known, has_started=True) is None, "it was taken back"


def test_new_batch_starts_with_its_whole_burst() -> None:
    batch = limits(Terms(rate=RATE), 50.0)
    assert batch.available(0, 50.0) == 6
    batch.take(6, 50.0)
    assert batch.available(0, 50.0) == 0
    assert batch.next_at() == pytest.approx(50.1)
    assert batch.available(0, 50.1) == 1
    assert batch.available(0, 50.35) == 3
    assert batch.available(0, 99.0) == 6, "no more than the burst gathers"


def test_started_batch_gets_no_second_burst_after_a_takeover() -> None:
    batch = limits(Terms(rate=RATE), 50.0, begun=True)
    assert batch.available(0, 50.0) == 1
    batch.take(1, 50.0)
    assert batch.available(0, 50.0) == 0
    assert batch.available(0, 50.5) == 5


@pytest.mark.parametrize("rate", [RATE, Rate(per_second=0.01), Rate(per_second=5000, burst=1)])
def test_repeated_terms_release_no_further_items(rate: Rate) -> None:
    """Each control of a batch creates its limits again, even if it names no rate."""
    batch = limits(Terms(rate=rate), 3.0)
    batch.take(batch.available(0, 3.0) or 0, 3.0)
    due = batch.next_at()
    for _ in range(5):
        batch = limits(Terms(rate=rate, concurrency=50), 3.0, batch, begun=True)
        assert batch.available(0, 3.0) == 0
        assert batch.next_at() == pytest.approx(due)


@pytest.mark.parametrize(
    ("rate", "free", "next_at"),
    [
        (Rate(per_second=1, burst=6), 1, 1.0),  # six dispatched, one of them worked off
        (Rate(per_second=1, burst=5), 0, 2.0),
        (Rate(per_second=100, burst=6), 1, 1.0),
        (Rate(per_second=10, burst=2), 0, 1.1),
        (Rate(per_second=10, burst=9), 4, 1.0),
    ],
)
def test_changed_rate_counts_items_dispatched_under_the_previous_one(rate: Rate, free: int, next_at: float) -> None:
    before = limits(Terms(rate=RATE), 0.9)
    before.take(6, 0.9)
    batch = limits(Terms(rate=rate), 1.0, before, begun=True)
    assert batch.available(0, 1.0) == free
    assert max(1.0, batch.next_at()) == pytest.approx(next_at)


def test_full_bucket_gives_its_whole_burst_after_a_rate_change() -> None:
    before = limits(Terms(rate=RATE), 0.0)
    before.take(6, 0.0)
    assert limits(Terms(rate=Rate(per_second=1, burst=8)), 9.0, before, begun=True).available(0, 9.0) == 8


def test_rate_set_on_a_running_batch_starts_with_one_item() -> None:
    before = limits(Terms(concurrency=3), 0.0, begun=True)
    batch = limits(Terms(rate=RATE, concurrency=3), 7.0, before, begun=True)
    assert batch.available(0, 7.0) == 1


@pytest.mark.parametrize(("out", "free"), [(0, 4), (3, 1), (4, 0), (9, 0)])
def test_concurrency_allows_the_items_not_in_flight(out: int, free: int) -> None:
    batch = limits(Terms(concurrency=4))
    batch.take(100, 0.0)
    assert batch.available(out, 0.0) == free
    assert batch.next_at() == 0.0, "no clock ends this wait"


def test_stricter_limit_applies() -> None:
    batch = limits(Terms(rate=RATE, concurrency=4))
    assert batch.available(0, 0.0) == 4
    batch.take(4, 0.0)
    assert batch.available(0, 0.0) == 2


def test_high_rate_is_granted_in_steps_of_twenty_milliseconds() -> None:
    batch = limits(Terms(rate=Rate(per_second=5000, burst=1)))
    assert batch.available(0, 0.0) == 100


@given(
    per_second=st.floats(0.1, 5000),
    burst=st.integers(1, 50),
    begun=st.booleans(),
    asked=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 100)), max_size=60),
)
def test_dispatch_never_exceeds_the_rate_and_next_at_allows_an_item(
    per_second: float, burst: int, begun: bool, asked: list[tuple[float, int]]
) -> None:
    batch, now, sent = limits(Terms(rate=Rate(per_second=per_second, burst=burst)), 100.0, begun=begun), 100.0, 0
    for pause, wanted in asked:
        now += pause
        free = batch.available(0, now)
        assert free is not None
        if free == 0:
            assert batch.next_at() > now
            assert batch.available(0, batch.next_at() + 1e-6) == 1
        batch.take(min(free, wanted), now)
        sent += min(free, wanted)
    assert sent <= (1 if begun else max(burst, per_second * 0.02)) + (now - 100.0) * per_second + 1e-3
